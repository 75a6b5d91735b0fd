# mysqld_exporter, from Debian's packages.
FROM imc-debian
RUN apt-get update \
    && apt-get install -y --no-install-recommends prometheus-mysqld-exporter \
    && rm -rf /var/lib/apt/lists/*
COPY mysqld-exporter.sh /usr/local/bin/
RUN chmod 755 /usr/local/bin/mysqld-exporter.sh
ENTRYPOINT ["mysqld-exporter.sh"]
