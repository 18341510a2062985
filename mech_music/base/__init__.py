"""What every other package rests on: errors for people, whole files, the machine, processes, quiet libraries."""
