from hypothesis import settings

# Timing is not what property tests are about, and machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
