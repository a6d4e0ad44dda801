"""The terminal of ``run``: events and pulses fold into one view, a view is drawn as one frame."""
