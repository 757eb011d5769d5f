"""What the tests notice the loss of: python -m tests.mutation. See __main__."""
