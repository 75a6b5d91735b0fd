CREATE TABLE imc_adoption (
    source VARCHAR(512) NOT NULL,
    revision VARCHAR(32) NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (source)
) {options}
