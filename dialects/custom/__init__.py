"""Functions with derivative rules of their own: what a func.func says, and how its rules are called.

    func.func private @dot(%x: memref<?xf64>, %y: memref<?xf64>) -> f64
        attributes {autodiff.reverse_rule = @dot_reverse, autodiff.writes = array<i64>}

    func.func @dot_reverse(%x: memref<?xf64>, %dx: memref<?xf64>, %y: memref<?xf64>, %dy: memref<?xf64>, %seed: f64)

A function with one of these attributes, with a body or only declared (a C function), is not looked into by a
derivative; its calls are carried out by its rules instead. It is inlined, if it is, when all derivatives are made.

    autodiff.forward_rule = @g     the primal and its tangents at once, in forward mode
    autodiff.reverse_rule = @r     the reverse sweep's part
    autodiff.augment_rule = @a     the forward sweep's part in reverse mode: the primal, and a tape for @r. Without it
                                   the function itself is called there, and there is no tape.
    autodiff.inactive              derivative zero, whatever goes in; the function is still called
    autodiff.reads, autodiff.writes = array<i64: ...>   the memref arguments (by number) that it reads and writes.
                                   Left out, they are found by looking at the body; without a body, all of them,
                                   but that it writes none which are marked llvm.readonly.

**Arguments and results.** Written for all arguments moving (below for others):

    forward   each argument, behind it its tangent (a float or complex scalar) or its shadow (a memref of such)
              → the results, then the tangents of the float and complex ones and the shadows of memrefs, in order
    augment   each argument, behind a memref of floats its shadow
              → the results, then the shadow of each memref result, then the tape: any number of values of any types
    reverse   each argument, behind a memref of floats its shadow; for each float or complex result its cotangent, for
              each memref result the memref and its shadow; then the tape
              → the cotangent of each float or complex scalar argument

Integers, and memory of integers, have no tangents: they are passed as they are.

**Memory.** The reverse rule adds to the shadow of what the function reads. Of what the function overwrites it takes
the shadow as the cotangent, and leaves zero there. Primal memory holds, in the reverse rule, what it held when the
augmented primal (or the function) had returned: what may have been overwritten since is copied then by the engine, if
the rule does more with it than ask for its extents. A memref that a function or a rule returns is new memory, no
argument and no other result; it is freed by the engine.

**Activity.** A rule takes tangents for all arguments. What does not move gets a zero (scalars) or zeroed memory of
the same shape, and what the rule gives for it is dropped. A rule that needs less says so by `autodiff.activity` and
`autodiff.returns` on itself, in the words of a request (see request.py): "const" arguments come without tangent. An
attribute may name several rules, `autodiff.reverse_rule = [@r1, @r2]`: the first one is taken that covers all that
moves.

**Width.** A rule is called once for each direction. Memory that the function writes is put back in between, so that
each call starts from the same state; the augmented primal is called once where it does not use the shadows. A rule
with `autodiff.width = W : i64` is called once for W directions: a memref has W shadows, the tangent of a scalar is a
vector<Wx...>.

**Again.** A function that takes and gives numbers and calls nothing external may be called again, with its augmented
primal, where the reverse sweep runs an iteration (or a thread of a launch) again; others are called once, and loops
around them are taped.

**Strong zero.** A rule with the unit attribute `autodiff.strong_zero` gets a last argument, an i1: whether 0 times
infinity is to be 0.

**On demand.** A unit attribute in place of a name, as in `autodiff.forward_rule`, says that whoever runs the engine
makes the rule when it is known what for: `differentiate(module, rules)` calls `rules(function, part, config)`,
which returns the text of a module with the rule in it (see resolve.py). It takes just what the `Config` says moves,
is called for each direction like others, and what the config says is not needed may hold anything.

A rule is ordinary code: it may loop, call, and ask for derivatives itself, and a derivative of a derivative
differentiates it (by its own rules, if it has some).
"""
