"""What a Model returns about itself: its memory plan, its profile, and the plan as a picture."""
