"""POP909 (Wang et al. 2020) with the structure that two people heard in each song (Dai, Zhang and Dannenberg 2020).

Read from a folder that the user fetched (repository hierarchical-structure-analysis, its folder POP909; both are under
the MIT licence): nothing of it is part of this package.
"""
