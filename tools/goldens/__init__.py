"""The golden recorder: real frameworks in, expectations of the case files out."""
