"""A small anomaly model, fitted in closed form and written as a training framework would write it."""
