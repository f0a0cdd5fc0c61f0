"""The arithmetic that NumPy lacks: fused multiply-add, directed rounding, bf16, wide products, bit counting."""
