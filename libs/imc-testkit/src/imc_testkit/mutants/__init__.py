"""Mutation testing: the code is changed on purpose, one subtle change at a time, and the tests must notice.

``make mutants`` chooses changes of the parts that hold promises by a fixed seed, applies each to a copy of
the tree, and runs the tests that concern the changed module. A change that no test notices is printed as a
diff: either it gets a test, or it breaks no promise and is listed with the reason in ``equivalents.toml``.
"""
