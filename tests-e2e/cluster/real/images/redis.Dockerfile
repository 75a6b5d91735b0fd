# What the image redis does for the trial, made of Debian's packages.
FROM imc-debian
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
CMD ["redis-server"]
