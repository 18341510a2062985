"""Who makes passes: this process and its copies, jobs of a Slurm cluster, actors of a Ray cluster."""
