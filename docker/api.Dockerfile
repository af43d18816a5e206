# syntax=docker/dockerfile:1
# The API and the built portal: no torch, no GPU. Also runs `tunery migrate`.
# Build from the repository's root: docker build -f docker/api.Dockerfile -t tunery-api:0.1.0 .

FROM node:20-bookworm-slim AS portal
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci
COPY frontend/ ./
# The tour's rows.
COPY examples/shop-en.jsonl ../examples/
RUN npm run build

FROM python:3.11-slim-bookworm AS packages
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/tunery
ENV VIRTUAL_ENV=/opt/tunery UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY requirements/constraints.txt requirements/
RUN uv pip install --constraint requirements/constraints.txt --requirement pyproject.toml
# Linked to /app, so that the code finds the migrations and the portal beside itself.
COPY api/ api/
COPY workers/ workers/
COPY migrations/ migrations/
RUN uv pip install --no-deps --editable .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --create-home --home-dir /home/tunery tunery \
    && install -d -o tunery -g tunery /var/lib/tunery
ENV PATH=/opt/tunery/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/var/lib/tunery
WORKDIR /app
COPY --from=packages /opt/tunery /opt/tunery
COPY --from=packages /app/pyproject.toml ./
COPY --from=packages /app/api api
COPY --from=packages /app/migrations migrations
COPY --from=portal /build/frontend/dist frontend/dist
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["uvicorn", "api.app:create_app", "--factory", "--host", "0.0.0.0", "--port", "8000"]
