"""Drawing: how maps, pictures and methods look, the same in every figure."""
