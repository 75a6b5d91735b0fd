# redis_exporter, from Debian's packages.
FROM imc-debian
RUN apt-get update \
    && apt-get install -y --no-install-recommends prometheus-redis-exporter \
    && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["prometheus-redis-exporter"]
