"""What the official cases show that is not yet so. Every list here only shrinks: a case that passes after all, or an op
that needs no Python any more, fails the tests until its line is taken out."""

from __future__ import annotations

from collections.abc import Mapping

# Cases that fail, optimised and as stored, with the reason.
FAILURES: Mapping[str, str] = {
    "test_attention_4d_causal_fp16_expanded": "float16 at each of 80 nodes: the expected values are farther off",
    "test_gradient_of_add": "Gradient, of the preview training domain, is not implemented",
    "test_gradient_of_add_and_mul": "Gradient, of the preview training domain, is not implemented",
}

# Cases whose expected outputs are draws from numpy's random stream: types, shapes and the set of values are checked.
RANDOM = frozenset(
    {
        "test_bernoulli",
        "test_bernoulli_double",
        "test_bernoulli_double_expanded",
        "test_bernoulli_expanded",
        "test_bernoulli_seed",
        "test_bernoulli_seed_expanded",
    }
)

# Cases that the official comparison fails for the expected outputs themselves: compared element by element.
NOT_COMPARABLE = frozenset({"test_loop16_seq_none"})
