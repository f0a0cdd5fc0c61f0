"""Lowering to machine code: one pipeline a target, from MLIR in upstream dialects to something that runs.

Imports nothing of `dsl` and nothing of `dialects`. Importing this package imports neither MLIR nor LLVM: `cpu.compile`
does when it is called, and `jit.load` opens LLVM's library only.
"""
