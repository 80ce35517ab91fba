"""What kind of address an IP address is, of both families, with what is embedded in it.

The blocks are IANA's registries of special-purpose addresses
(https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry) and the addresses at which
clouds hand out credentials. Python's `is_global` takes several of them for public.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


class Kind(StrEnum):
    """`PRIVATE` is for networks that an operator may name, `NEVER` for what nobody may call."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    NEVER = "never"


_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_PRIVATE = [
    ip_network(block)
    for block in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7"]
]
_METADATA = (
    "100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 "
    "fd00:ec2::/32 fd20:ce::254/128 fd00:c1::a9fe:a9fe/128 fd00:42::42/128"
)
_RESERVED_V4 = (
    "0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.175.48.0/24 "
    "198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
# Within 2000::/3, outside which only loopback and private networks are called. 2001::/23 holds Teredo, 2002::/16 is
# 6to4: tunnels that lead to an IPv4 address of the sender's choice.
_RESERVED_V6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20"
_NEVER = [ip_network(block) for block in f"{_METADATA} {_RESERVED_V4} {_RESERVED_V6}".split()]

_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214 §6.1: the middle of an interface identifier that ends in an IPv4 address


def plain(address: Address) -> Address:
    """The address that the system really calls: an IPv4-mapped one is its IPv4 address."""
    return getattr(address, "ipv4_mapped", None) or address


def kind_of(address: Address) -> Kind:
    """Judge an address. A NAT64 address is public where the one embedded in it is: that's how machines with IPv6 alone
    reach the others (RFC 6052 §3.1)."""
    address = plain(address)
    if any(address in block for block in _NEVER):
        return Kind.NEVER
    if any(address in block for block in _LOOPBACK):
        return Kind.LOOPBACK
    if isinstance(address, IPv6Address) and int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return Kind.NEVER
    if any(address in block for block in _PRIVATE):
        return Kind.PRIVATE
    if address in _NAT64:
        embedded = ip_address(int(address) & 0xFFFFFFFF)
        return Kind.PUBLIC if kind_of(embedded) is Kind.PUBLIC else Kind.NEVER
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return Kind.NEVER
    return Kind.PUBLIC
