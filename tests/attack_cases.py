"""What `tests.attack` tries: command lines, and the files that some of them name."""

from __future__ import annotations

import zlib

_PNG = b"\x89PNG\r\n\x1a\n" + zlib.crc32(b"x").to_bytes(4, "big")

FILES: dict[str, bytes] = {
    "a_file": b"not a folder",
    "bad_yaml/.hydra/config.yaml": b"task: {_target_: [\x00",
    "bad_hydra/.hydra/config.yaml": b"hydra: 3\npair: nope-nope\nprompts: 100000\n",
    "list_config/.hydra/config.yaml": b"- 1\n- 2\n",
    "no_table/.hydra/config.yaml": b"task: {_target_: mech_music.tasks.interchange.task.Interchange}\n",
    "bad_table/table.parquet": b"PAR1" + bytes(40) + b"PAR1",
    "bad_table/summary.parquet": b"",
    "png_table/table.parquet": _PNG,
    "empty.csv": b"",
    "one_column.csv": b"prompt\na piano\n",
    "twice.csv": b"prompt,instrument\nA piano.,piano\nA piano.,piano\n",
    "binary.csv": bytes(range(256)),
    "model/state_dict.bin": b"not a checkpoint",
    "model/compression_state_dict.bin": b"not a checkpoint",
    "empty_model/readme": b"",
    "sae/cfg.json": b"{",
    "sae/sae_weights.safetensors": b"nothing",
    "lens/lens.json": b"[]",
    "lens/lens.safetensors": b"\x00" * 16,
}
"""By path in the case's folder, written where the case names the path."""

_RUN = """
model=tny
model=
model=tiny,small
model.path=nowhere
model.path=a_file
model.path=model
model.path=empty_model
model.path=~nouser/x
model.layers=0
model.layers=-3
model.layers=x
model.frame_rate=0
model.frame_rate=-5
model.frame_rate=nan
model.dtype=float8
model.dtype=float16
model.hub_id=../../etc
model.codebooks=0
model.delay=-1
model._target_=os.system
model._target_=nothing.at.all
layer=99
layer=-1
layer=
layer=x
layer=1.5
layer=4-2
layer=3:steer+5:nothing
layer=3:steer+3:ablate
layer=all+2
component=mpl
component=mlp,sa
component=
component=[mlp]
technique=halve
technique=
technique.scale=nan
technique.scale=x
technique.scale=inf
technique.shift={desird:1}
technique.shift={desired:nan}
technique.shfit={desired:1}
technique.direction=up
pair=guitar
pair=guitar-banjo
pair=guitar-guitar
pair=guitar-fast
pair=
pair=guitar-piano-violin
pair=nope
prompts=0
prompts=1
prompts=-4
prompts=100000
prompts=x
prompts=2.5
seed=x
seed=1.5
seed=100000000000000000000000
duration=0
duration=-1
duration=nan
duration=inf
duration=1e-9
duration=1e6
duration=1e12
duration=x
frames=50:0
frames=0:100000
frames=x
frames=-5:3
frames=0s:99s
frames=1s:1s
half=left
history=mine
strength=x
strength=nan
technique=steer strength=nan
technique=steer strength=inf
controls=[self,slef]
controls=self
controls=[self,self]
metrics=[loudness]
metrics=surprise
design=mine
design.seeds=0
design.seeds=-1
design.draws=0
design.means=0
design=held_out design.prompts=0
statistics.seed=-1
statistics.seed=100000000000000000000000
statistics.resamples=0
statistics.resamples=-1
statistics.level=0
statistics.level=1
statistics.level=95
statistics.level=nan
statistics.equivalence=-1
statistics.equivalence=nan
sampling.top_k=-1
sampling.top_k=x
sampling.temperature=0
sampling.temperature=-1
sampling.temperature=nan
sampling.guidance=nan
sampling.guidance=x
engine.device=gpu
engine.device=cuda:99
engine.device=
engine.pack=-1
engine.threads=-1
engine.workers=-1
engine.workers=x
engine.store=a_file
engine.store=/proc/x
audio.strongest=-1
audio.strongest=x
logger=wandbb
logger.mode=offlin
logger.project=''
logger.tags=5
logger=wandb logger.project=a/b
logger=wandb logger.tags=['']
classifier=pasts
classifier.path=nowhere
classifier.path=a_file
classifier._target_=os.system
classifier._target_=nothing.at.all
prompt_set=mine
prompt_set.file=nowhere.csv
prompt_set.file=empty.csv
prompt_set.file=one_column.csv
prompt_set.file=twice.csv
prompt_set.file=binary.csv
listener=x
task=interchnage
task._target_=foo
task._target_=pandas.read_pickle
task=
lens=tuned
lens.seed=-1
reading=forced
path=ca4-mlp6
head=all
head=99 component=ca layer=2
head=x component=ca layer=2
head=-1 component=ca layer=2
task=decoder_lens pair=guitar-piano
task=decoder_lens lens=tunned
task=decoder_lens lens=tuned lens.seed=-1
task=decoder_lens lens=tuned lens.clips=0
task=decoder_lens lens=tuned lens.clips=99999999
task=decoder_lens lens=tuned lens.steps=-1
task=decoder_lens lens=tuned lens.epochs=0
task=decoder_lens lens=tuned lens.held_out=0
task=decoder_lens lens=tuned lens.path=nowhere
task=decoder_lens lens=tuned lens.path=lens
task=decoder_lens concept=banjo
task=decoder_lens reading=mixed
task=decoder_lens layer=99
task=tuned_lens lens.clips=1
task=tuned_lens lens.clips=99999999
task=tuned_lens lens.epochs=-1
task=tuned_lens lens=decoder
task=self_similarity pair=guitar-piano
task=self_similarity half=left
task=self_similarity component=nothing
task=patching pair=guitar
task=patching path=ca4
task=patching path=ca4-mlp2
task=patching path=ca4-mlp99
task=patching direction=back
task=patching frames=9:2
task=patching strength=2
task=sae sae.width=0
task=sae sae.width=1000000000000
task=sae sae.k=0
task=sae sae.k=999
task=sae sae.clips=1
task=sae sae.clips=999999999
task=sae sae.epochs=0
task=sae sae.batch=0
task=sae sae.rate=0
task=sae sae.rate=nan
task=sae sae.rate=-1
task=sae sae.seed=-1
task=sae sae.sparsity=nan sae.activation=relu
task=sae sae.activation=gelu
task=sae sae.held_out=0
task=sae sae.held_out=99999
task=sae sae.spliced=9999
task=sae sae.dtype=int8
task=sae sae.half=left
task=sae sae.path=nowhere
task=sae sae.path=sae
task=sae sae.path=a_file
task=sae layer=99
task=sae component=nothing
task=sae_steer pair=guitar
task=sae_steer strengths=[]
task=sae_steer strengths=[nan]
task=sae_steer strengths=[0]
task=sae_steer candidates=0
task=sae_steer choice_prompts=0
task=sae_steer prompts=500
experiment=velez2024/fig99
experiment=nothing
experiment=
foo=1
+foo=1
+foo
~model
model
foo
sampling=1
sampling.foo=1
--multirun=yes
-m layer=
-m model=tny
-m layer='range(0,0)'
-m strength='range(0,0)' technique=steer
-m hydra.launcher=x
hydra.run.dir=
hydra.run.dir=a_file
hydra.run.dir=a_file/x
hydra.run.dir=/proc/x
hydra/launcher=nothing
hydra.sweeper.params=3
--cfg nothing
--config-dir nowhere
--config-name nothing
--info nothing
--nothing
"""
_OTHERS = """
report
report nowhere
report a_file
report ~nouser/x
report bad_yaml
report bad_hydra
report list_config
report no_table
report bad_table
report png_table
report a b c
report nowhere nowhere
report no_table out=
report no_table out=/dev/full
report no_table out=/dev/null
report no_table out=nowhere/x/y.html
report no_table audio=x
report no_table foo=1
report no_table --nothing
dashboard
dashboard nowhere
dashboard a_file
dashboard ~nouser/x
dashboard bad_yaml
dashboard bad_hydra
dashboard bad_table
dashboard no_table --project ''
dashboard no_table --publish
dashboard no_table --nothing
store foo
store --store nowhere size
store --store a_file size
store --store ~nouser/x verify
store --store nowhere compact
store --store nowhere verify
store --store nowhere prune
store --store nowhere prune --older-than nan
store --store nowhere prune --older-than -1
store --store nowhere prune --older-than x
store --store nowhere prune --what nothing
store --store nowhere prune --model nothing --yes
power
power nowhere
power a_file
power bad_table
power no_table
power no_table effect=x
power no_table effect=nan
power no_table prompts=0
power no_table foo=1
power ~nouser/x
concepts foo
concepts prompt_set=nothing
concepts prompt_set.file=nowhere.csv
concepts prompt_set.file=empty.csv
concepts prompt_set.file=one_column.csv
concepts prompt_set.file=twice.csv
concepts prompt_set.file=binary.csv
doctor --nothing
doctor model=tny
doctor --quick foo=1
doctor --quick duration=nan
doctor --quick duration=-1
doctor --quick layer=99
doctor --quick classifier=pasts
doctor --quick engine.store=a_file
doctor --quick model.dtype=float16
doctor --quick model.path=nowhere
doctor --quick model.path=model
doctor --quick model.path=~nouser/x
bench only=nothing
bench rounds=0
bench rounds=-1
bench foo=1
bench plain_threads=-1
bench size=huge
"""
COMMANDS = (
    *(f"run {line}" for line in _RUN.strip().splitlines()),
    *(line for line in _OTHERS.strip().splitlines()),
)
"""Words for ``mech-music``."""
