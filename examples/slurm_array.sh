#!/bin/bash
# One task per subject:   sbatch --array=1-$(ls -d $BIDS/sub-* | wc -l) --export=ALL examples/slurm_array.sh [options of pvs]
# BIDS, OUT: dataset and results; SIF: the image (pvs on the PATH is used without); SCRATCH: a fast disk with room.
# Options of sbatch (--mem, --partition) go before the script's name and win over those below.
#SBATCH --job-name=pvs
#SBATCH --cpus-per-task=2
#SBATCH --mem=6G
#SBATCH --time=1:00:00
#SBATCH --requeue
#SBATCH --output=pvs-%A_%a.log
# for a GPU partition: #SBATCH --partition=gpu --gres=gpu:1   (and --nv below, --device cuda)
set -euo pipefail
: "${BIDS:?the BIDS dataset}" "${OUT:?where results go}"
subject=$(basename "$(ls -d "$BIDS"/sub-* | sed -n "${SLURM_ARRAY_TASK_ID}p")")
# the same work folder after a requeue: finished steps are not done again
work=${SCRATCH:-/tmp}/pvs-$(id -un)-$SLURM_ARRAY_JOB_ID-$subject
mkdir -p "$work" "$OUT"
if [ -n "${SIF:-}" ]; then
    run=(apptainer run --containall -B "$BIDS:/bids:ro" -B "$OUT:/out" -B "$work:/work" "$SIF" /bids /out)
    work_dir=/work
else
    run=(pvs "$BIDS" "$OUT")
    work_dir=$work
fi
exec "${run[@]}" participant --participant-label "$subject" -w "$work_dir" "$@"
