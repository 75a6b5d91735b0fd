# Holds the namespaces of a pod.
FROM imc-debian
CMD ["sleep", "infinity"]
