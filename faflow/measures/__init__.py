"""What is measured of a flow: observables on the way, and its part of the summary afterwards.

Here belongs a thing that is measured, one file each: what has to be recorded for it, its numbers,
its sentence, its warnings, and its variables with units and dims.
"""
