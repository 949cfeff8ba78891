"""IMPALA: actor-critic from unrolls of older policies, corrected by V-trace."""
