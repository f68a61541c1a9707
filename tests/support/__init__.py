"""What several tests share: an engine looked at from outside, and a user at a shell."""
