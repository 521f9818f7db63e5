"""
State as a join: records of the log folded into tables, without I/O.

Every state joins per part by version, so that applying any suffix of the log again, twice, or onto
an older base ends in the same state.
"""
