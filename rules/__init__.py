"""What is judged: plain functions over frozen values. No input or output, no clock, no Faust."""
