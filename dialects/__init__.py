"""The autodiff dialect and its passes. Works on any upstream MLIR and imports nothing but the MLIR bindings."""
