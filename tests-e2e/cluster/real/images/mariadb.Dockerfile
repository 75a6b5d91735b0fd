# What the image mariadb does for the trial, made of Debian's packages.
FROM imc-debian
RUN apt-get update \
    && apt-get install -y --no-install-recommends mariadb-server \
    && rm -rf /var/lib/apt/lists/* /var/lib/mysql/* /etc/mysql/mariadb.conf.d/* \
    && mkdir -p /run/mysqld
COPY mariadb-entrypoint.sh healthcheck.sh /usr/local/bin/
RUN chmod 755 /usr/local/bin/*.sh
ENTRYPOINT ["mariadb-entrypoint.sh"]
CMD ["mariadbd"]
