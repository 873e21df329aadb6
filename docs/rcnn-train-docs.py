def sub(p,*prs):
    s=open(p).read()
    for a,b in prs:
        assert a in s,(p,a); s=s.replace(a,b,1)
    open(p,'w').write(s)
sub('docs/models/faster-rcnn.md',("## The service\n",'''## Train it

`train --kind faster-rcnn`, or a [training job](../training.md#as-a-sagemaker-training-job) with `kind`, `config_file` or `local_config_file`
among its hyperparameters. The channel of the data has COCO's lists and the pictures that they name:

| in `input/data/training` | what |
|---|---|
| `train.json`, `train/` | to train with |
| `val.json`, `val/` | to evaluate on |

<!-- not run: long -->
```sh
cargo run --release -- train --kind faster-rcnn --data shapes --out model --set opts="MODEL.RESNETS.DEPTH 18 MODEL.RESNETS.RES2_OUT_CHANNELS 64 \\
    MODEL.RESNETS.NORM BN MODEL.BACKBONE.FREEZE_AT 0 INPUT.MIN_SIZE_TRAIN (128,) INPUT.MIN_SIZE_TEST 128 SOLVER.IMS_PER_BATCH 4 SOLVER.MAX_ITER 1000"
```

| hyperparameter | meaning |
|---|---|
| `config_file` | the model zoo's `COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml`, or with `101`, or with `3x`; without it, what they have in common |
| `local_config_file` | a file in the channel of the data, in its place |
| `opts` | `KEY VALUE KEY VALUE`, values without spaces |
| `resume` | `False` begins anew where there is a checkpoint |

The number of classes is that of the lists, in the order of their category ids. **Nothing is fetched**: `MODEL.WEIGHTS` has to be `""`, or a
channel `pretrained` has the checkpoint. Training begins from nothing with `MODEL.RESNETS.NORM BN` and `MODEL.BACKBONE.FREEZE_AT 0` alone: frozen
normalizations of random layers do not train.

| in `model` | what |
|---|---|
| `model.safetensors` | the weights after the last step, under Detectron2's names |
| `config.yaml` | the whole configuration |
| `last_checkpoint` | the name of the first |

`output` has `history.csv`, `training.html` and `model_best.safetensors`, that of the evaluation with the highest AP. Evaluations come every
`TEST.EVAL_PERIOD` steps and at the end: the mean validation loss, and COCO's AP, AP50, AP75 and AP of each class, in percent. Lines of the log have
`total_loss`, `loss_cls`, `loss_box_reg`, `loss_rpn_cls`, `loss_rpn_loc`, `lr` and `validation_loss`, each with a colon and a number. An interrupted
training goes on from its checkpoint, and has the same result.

## The service
'''),
('- **Equal scores** keep','''- **Training** has a loop of its own, `training/trainer`: steps instead of epochs. Which anchors and regions are sampled follows from the seed and
  the step. Regions cut out of maps have gradients of their own.
- **Equal scores** keep'''),
("scores of the small network. Of the large ones, at least 98 % of the detections have to be found again.\n","scores of the small network. Of the large ones, at least 98 % of the detections have to be found again. Five steps of training are Detectron2's too:\n0.0001 of a loss before the first, 0.001 later and for gradients.\n"),
("| `TEST.AUG.ENABLED`, `INPUT.CROP.ENABLED` | `False` |\n","| `TEST.AUG.ENABLED`, `INPUT.CROP.ENABLED` | `False` |\n| `MODEL.*.BBOX_REG_LOSS_TYPE`, `SMOOTH_L1_BETA`, `LOSS_WEIGHT` | `smooth_l1`, 0, 1 |\n| `SOLVER.LR_SCHEDULER_NAME`, `NESTEROV`, `AMP.ENABLED` | `WarmupMultiStepLR`, `False`, `False` |\n"))
sub('docs/training.md',("A classifier of pictures trains on this machine, or in a SageMaker training job, with the same code and the same settings.\n","A classifier of pictures trains on this machine, or in a SageMaker training job, with the same code and the same settings. So does a\n[Faster R-CNN](models/faster-rcnn.md#train-it), which finds objects. This page is about classifiers.\n"))
sub('CHANGELOG.md',("answers pictures and arrays as the original service does.\n","answers pictures and arrays as the original service does.\n- `train --kind faster-rcnn`, and training jobs with `config_file`: Faster R-CNN [trains](docs/models/faster-rcnn.md#train-it) as Detectron2 does, on COCO's\n  lists, with evaluations between.\n"))
