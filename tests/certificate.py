"""A self-signed certificate for localhost and 127.0.0.1, made on the spot with nothing but integers and DER. For tests only."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from pathlib import Path

SHA256_RSA, RSA = bytes.fromhex("06092a864886f70d01010b0500"), bytes.fromhex("06092a864886f70d0101010500")
COMMON_NAME, ALT_NAMES, CONSTRAINTS = (bytes.fromhex(text) for text in ("0603550403", "0603551d11", "0603551d13"))
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
SMALL = [n for n in range(3, 2000, 2) if all(n % m for m in range(3, int(n**0.5) + 1, 2))]


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Files with a certificate and its private key (PEM), valid from an hour ago for a day."""
    p, q, e = prime(1024), prime(1024), 65_537
    n, d = p * q, pow(e, -1, (p - 1) * (q - 1))
    name = seq(der(0x31, seq(COMMON_NAME, der(0x0C, b"localhost"))))
    instants = [der(0x17, time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + s)).encode()) for s in (-3_600, 86_400)]
    public = seq(seq(RSA), der(0x03, b"\0" + seq(integer(n), integer(e))))
    names = der(0x04, seq(der(0x82, b"localhost"), der(0x87, bytes([127, 0, 0, 1]))))
    extensions = der(0xA3, seq(seq(ALT_NAMES, names), seq(CONSTRAINTS, b"\x01\x01\xff", der(0x04, seq(b"\x01\x01\xff")))))
    head = (der(0xA0, integer(2)), integer(secrets.randbits(64)), seq(SHA256_RSA), name)
    body = seq(*head, seq(*instants), name, public, extensions)
    padded = DIGEST_INFO + hashlib.sha256(body).digest()
    padded = b"\0\1" + b"\xff" * (256 - 3 - len(padded)) + b"\0" + padded
    signature = pow(int.from_bytes(padded, "big"), d, n).to_bytes(256, "big")
    key = seq(*map(integer, (0, n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))))
    return (pem(folder / "cert.pem", "CERTIFICATE", seq(body, seq(SHA256_RSA), der(0x03, b"\0" + signature))),
            pem(folder / "key.pem", "RSA PRIVATE KEY", key))


def prime(bits: int) -> int:
    """A random prime of that many bits, its two highest set; p - 1 has no factor 65537."""
    while True:
        n = secrets.randbits(bits) | 3 << bits - 2 | 1
        if all(n % m for m in SMALL) and n % 65_537 != 1 and all(passes(n, secrets.randbelow(n - 3) + 2) for _ in range(8)):
            return n


def passes(n: int, base: int) -> bool:
    """Miller and Rabin's test."""
    odd = n - 1
    while odd % 2 == 0:
        odd //= 2
    x = pow(base, odd, n)
    while odd != n - 1 and x not in (1, n - 1):
        x, odd = x * x % n, odd * 2
    return x == n - 1 or odd % 2 == 1


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes(
        (size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content


def seq(*parts: bytes) -> bytes:
    return der(0x30, b"".join(parts))


def integer(n: int) -> bytes:
    return der(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def pem(path: Path, kind: str, content: bytes) -> Path:
    text = base64.encodebytes(content).decode()
    path.write_text(f"-----BEGIN {kind}-----\n{text}-----END {kind}-----\n")
    return path
