"""What a service needs, told as pure data: references resolved, fingerprints, exports."""
