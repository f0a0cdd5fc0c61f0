"""The body of one derivative function, from the request that its declaration is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from mlir.ir import Block, InsertionPoint, Operation, Type, UnitAttr, Value

from . import reasons
from .activity import Activity
from .augment import Augmenter
from .builder import Builder, is_memref, operation, operations
from .custom.resolve import Rules
from .custom.reverse import CustomCalls
from .findings import Findings
from .forward import Forward
from .holomorphic import conjugate, refuse_others
from .launches import DEVICE, barrier, meets
from .request import Request
from .reverse import Reverse
from .structure import symbol
from .sweep import Frame, Sweep
from .tape import TAPED
from .unknown import refuse_unknown

#: What is done to a cotangent, of a value of a type, where it comes in or goes out.
Turn: TypeAlias = Callable[[Value, Type], Value]


def derivative(declaration: Operation, request: Request, function: Operation, custom: Rules) -> Findings:
    """Give `declaration` the body that `request` asks for of `function` (in normal form), in which functions may be
    called that have `custom` rules. Returns what reverse mode taped, and what it does with loops.
    """
    request.check(declaration, function)
    entry = function.regions[0].blocks[0]
    activity = Activity(function, request.activity, request.returns)
    refuse_unknown(activity)
    if request.holomorphic:
        refuse_others(activity)
    builder = Builder(InsertionPoint(declaration), function.location)
    signature = request.signature(function)
    block = declaration.regions[0].blocks.append(
        *signature.inputs, arg_locs=[function.location] * len(signature.inputs)
    )
    with builder.at(block):
        if request.mode == "forward":
            _forward(builder, request, activity, entry, block, custom)
            return Findings()
        return _reverse(builder, request, activity, entry, block, symbol(declaration), custom)


def _bind(emitter: Augmenter, request: Request, entry: Block, block: Block) -> list[Value]:
    """Map the primal arguments and shadows; returns the arguments that are left (seeds, tangents in order of
    scalars).
    """
    rest = list(block.arguments)
    for argument, kind in zip(entry.arguments, request.activity, strict=True):
        emitter.map[argument] = rest.pop(0)
        if kind.startswith("duplicated"):
            count = request.width if is_memref(argument.type) else 1
            beside, rest = rest[:count], rest[count:]
            if is_memref(argument.type):
                emitter.shadows[argument] = tuple(beside)
            elif isinstance(emitter, Forward):
                emitter.tangent[argument] = beside[0]
        elif is_memref(argument.type) and emitter.activity.memory(argument):
            # some memref may point to this Const argument as well as to active memory
            emitter.shadows[argument] = tuple(emitter.b.zeros_like(emitter.map[argument]) for _ in range(request.width))
    return rest


def _forward(builder: Builder, request: Request, activity: Activity, entry: Block, block: Block, custom: Rules) -> None:
    emitter = Forward(builder, activity, request.width)
    emitter.custom = custom
    emitter.unread_return = None if request.primal else operations(entry)[-1]
    emitter.strong_zero = request.strong_zero
    _bind(emitter, request, entry, block)
    emitter.block(entry)
    returned = operations(entry)[-1].operands
    results = emitter.values(returned) if request.primal else []
    for value, kind in zip(returned, request.returns, strict=True):
        if kind != "const":
            results += emitter.extra(value) if not is_memref(value.type) else list(_returned_shadow(emitter, value))
    builder.op("func.return", results)


def _returned_shadow(emitter: Forward, value: Value) -> tuple[Value, ...]:
    if emitter.activity.memory(value):
        return emitter.shadow(value)
    return tuple(emitter.b.zeros_like(emitter.map[value]) for _ in range(emitter.width))


def _reverse(
    builder: Builder, request: Request, activity: Activity, entry: Block, block: Block, name: str, custom: Rules
) -> Findings:
    reverse = Reverse(builder, activity, request.width, request.strong_zero)
    if request.split:
        for memory in activity.objects.all:
            if memory.argument is not None and (request.overwritten is None or memory.argument in request.overwritten):
                reverse.stability.volatile.add(memory)
    frame = Frame(entry)
    reverse.custom = CustomCalls(reverse, custom, None if request.primal else operations(entry)[-1])
    sweep = Sweep(builder, activity, request.width, frame, reverse.taped)
    sweep.custom, sweep.checkpoints = reverse.custom, reverse.checkpoints
    seeds = _bind(sweep, request, entry, block)
    sweep.block(entry)
    if request.split:
        builder.op("autodiff.turn")
    returned = list(operations(entry)[-1].operands)
    results = sweep.values(returned) if request.primal else []
    if DEVICE in activity.function.attributes and meets(activity.function):
        barrier(builder)  # what threads share in the forward sweep may be written again in the reverse sweep
    root = reverse.root(sweep, block)
    turned: Turn = partial(conjugate, builder) if request.holomorphic else (lambda value, type_: value)
    moving = [a for a, kind in zip(entry.arguments, request.activity, strict=True) if kind.startswith("duplicated")]
    shadows = [shadow for argument in moving for shadow in sweep.shadows[argument]]
    for shadow in shadows:
        turned(shadow, shadow.type)
    for value, kind in zip(returned, request.returns, strict=True):
        if kind == "active":
            reverse.add(value, turned(seeds.pop(0), value.type))
        elif kind != "const":
            reverse.seed_memory(value, [turned(seeds.pop(0), value.type) for _ in range(request.width)], root)
    reverse.block(root)
    for argument, kind in zip(entry.arguments, request.activity, strict=True):
        if kind == "active":
            results.append(turned(reverse.take_or_zero(argument), argument.type))
    for shadow in shadows:
        turned(shadow, shadow.type)
    builder.op("func.return", results)
    for recorded in reverse.taped:
        operation(recorded.storage.owner).attributes[TAPED] = UnitAttr.get()
    return reasons.find(reverse, sweep, name)
