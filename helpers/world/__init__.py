"""The chibi world: what its pictures show, how they are drawn, and the models trained on them."""
