"""Models of clips: what an export has to be told of them, how their input is laid out, and the clips it measures on."""
