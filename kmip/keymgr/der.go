package keymgr

import (
	"encoding/asn1"
	"math/bits"

	"kmip-keymgr/kmip"
)

// This file reads the form and length of a private key from its DER. crypto/x509 would make big.Ints of it, which nobody
// could overwrite; here nothing is copied.

// The object identifiers of keys and of their curves (RFC 8017, RFC 5480, RFC 8410), as encoded.
const (
	oidRSA     = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
	oidEC      = "\x2a\x86\x48\xce\x3d\x02\x01"
	oidEd25519 = "\x2b\x65\x70"
)

// curves are the lengths of keys in bits.
var curves = [...]struct {
	oid  string
	bits int
}{
	{"\x2b\x81\x04\x00\x21", 224},
	{"\x2a\x86\x48\xce\x3d\x03\x01\x07", 256},
	{"\x2b\x81\x04\x00\x22", 384},
	{"\x2b\x81\x04\x00\x23", 521},
}

// privateKey is the form and the length of a private key in DER. What it does not know it takes for PKCS #8, of 0 bits.
func privateKey(der []byte) (kmip.KeyFormatType, int) {
	fields := sequence(der)
	switch {
	case isPKCS1(fields): // RFC 8017 appendix A.1.2
		return kmip.PKCS1, bitLength(fields[1].Bytes)
	case len(fields) >= 2 && fields[0].Tag == asn1.TagInteger && fields[1].Tag == asn1.TagOctetString: // RFC 5915
		return kmip.ECPrivateKey, sec1Bits(fields)
	case len(fields) >= 3 && fields[1].Tag == asn1.TagSequence && fields[2].Tag == asn1.TagOctetString: // RFC 5208
		return kmip.PKCS8, pkcs8Bits(sequence(fields[1].FullBytes), fields[2].Bytes)
	}
	return kmip.PKCS8, 0
}

func isPKCS1(fields []asn1.RawValue) bool {
	if len(fields) < 9 {
		return false
	}
	for _, f := range fields[:9] {
		if f.Class != asn1.ClassUniversal || f.Tag != asn1.TagInteger {
			return false
		}
	}
	return true
}

// sec1Bits looks for the curve in the first of the optional fields.
func sec1Bits(fields []asn1.RawValue) int {
	if len(fields) < 3 || fields[2].Class != asn1.ClassContextSpecific || fields[2].Tag != 0 {
		return 0
	}
	var curve asn1.RawValue
	if _, err := asn1.Unmarshal(fields[2].Bytes, &curve); err != nil {
		return 0
	}
	return curveBits(curve)
}

func pkcs8Bits(algorithm []asn1.RawValue, key []byte) int {
	if len(algorithm) == 0 {
		return 0
	}
	switch string(algorithm[0].Bytes) {
	case oidRSA:
		if fields := sequence(key); isPKCS1(fields) {
			return bitLength(fields[1].Bytes)
		}
	case oidEC:
		if len(algorithm) > 1 {
			return curveBits(algorithm[1])
		}
	case oidEd25519:
		return 256
	}
	return 0
}

func curveBits(curve asn1.RawValue) int {
	for _, c := range curves {
		if string(curve.Bytes) == c.oid {
			return c.bits
		}
	}
	return 0
}

// bitLength is that of a number, whose leading zero only says that it is positive.
func bitLength(number []byte) int {
	for i, b := range number {
		if b != 0 {
			return (len(number)-i-1)*8 + bits.Len8(b)
		}
	}
	return 0
}

// isBrokenDER tells what begins as a key in DER and is not the whole of one, as a key that was cut short.
func isBrokenDER(key []byte) bool {
	return len(key) > 0 && key[0] == asn1.TagSequence|1<<5 && sequence(key) == nil
}

// sequence is what stands in a SEQUENCE that is the whole of der, nil where der is none. It aliases der.
func sequence(der []byte) (fields []asn1.RawValue) {
	var all asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &all); err != nil || len(rest) > 0 || all.Tag != asn1.TagSequence {
		return nil
	}
	for rest := all.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			return nil
		}
		fields = append(fields, field)
	}
	return fields
}
