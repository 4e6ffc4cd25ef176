"""An authority and a certificate for the test cloud, by the openssl program."""
import os
import subprocess

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments):
    done = subprocess.run(("openssl",) + arguments, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (arguments[0], done.stderr.decode()))


def make_certificates(folder, names):
    """Makes ca.pem, and a file with a certificate for 127.0.0.1 and the names
    and its key, whose path is returned."""
    at = lambda name: os.path.join(folder, name)
    with open(at("names"), "w", encoding="utf-8") as out:
        out.write("subjectAltName = IP:127.0.0.1," + ",".join("DNS:" + name for name in names) + "\n")
        out.write("extendedKeyUsage = serverAuth\nbasicConstraints = CA:false\n")
    openssl("req", "-x509", *KEY, "-days", "2", "-subj", "/CN=Test cloud authority", "-keyout", at("ca.key"),
            "-addext", "keyUsage = critical, keyCertSign, cRLSign", "-out", at("ca.pem"))
    openssl("req", *KEY, "-subj", "/CN=test cloud", "-keyout", at("server.key"), "-out", at("server.csr"))
    openssl("x509", "-req", "-in", at("server.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
            "-CAcreateserial", "-days", "2", "-extfile", at("names"), "-out", at("server.crt"))
    with open(at("server.pem"), "w", encoding="utf-8") as out:
        for name in ("server.crt", "server.key"):
            with open(at(name), encoding="utf-8") as part:
                out.write(part.read())
    os.chmod(at("ca.pem"), 0o644)
    return at("server.pem")
