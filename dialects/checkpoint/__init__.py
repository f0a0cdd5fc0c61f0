"""Checkpointing: the reverse of a long loop from a few snapshots of its state, by the binomial schedule of Griewank
and Walther ("Algorithm 799: revolve", ACM TOMS 26, 2000).

`marks` says which loops are to be reversed so, `carried` gives them a state that is numbers and memory from outside,
`state` says what that is, `schedule` where the snapshots go, and `sweeps` emits both sweeps.
"""
