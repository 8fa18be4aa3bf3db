# One image for all Airflow processes: Python, the locked requirements, the library, the DAGs and the plugins.
# syntax: plain Dockerfile, builds with `docker build` and `podman build` alike.

FROM python:3.12.12-slim-bookworm AS build

# Some requirements come as source on some platforms; compilers stay in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential cmake \
    && rm -rf /var/lib/apt/lists/*

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

COPY requirements.txt /build/
RUN pip install --requirement /build/requirements.txt

COPY pyproject.toml requirements.in README.md /build/
COPY crossdomain /build/crossdomain
# Byte code is compiled here: the image's user may not write it later, and every start would pay for it.
RUN pip install --no-deps /build && python -m compileall -q -j 0 /opt/venv/lib


FROM python:3.12.12-slim-bookworm

# libgomp1: the threads of scikit-learn and implicit.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 crossdomain \
    && useradd --uid 10001 --gid crossdomain --create-home --home-dir /opt/airflow --shell /usr/sbin/nologin crossdomain \
    && install --directory --owner=crossdomain --group=crossdomain --mode=0700 \
        /opt/airflow/logs /var/lib/crossdomain

COPY --from=build /opt/venv /opt/venv
COPY include /opt/crossdomain/include
COPY plugins /opt/crossdomain/plugins
COPY dags /opt/crossdomain/dags

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    GX_ANALYTICS_ENABLED=false \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/crossdomain/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/crossdomain/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    CROSSDOMAIN_HOME=/var/lib/crossdomain \
    CROSSDOMAIN_INCLUDE=/opt/crossdomain/include

WORKDIR /opt/airflow
USER 10001:10001
ENTRYPOINT ["airflow"]
CMD ["version"]
