module imc/generated

go 1.23
