package mock

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// The fields of the certificate attributes (sections 3.10 to 3.15).
const (
	tagIssuer            ttlv.Tag = 0x42003B
	tagSerialNumber      ttlv.Tag = 0x420087
	tagIssuerText        ttlv.Tag = 0x420017
	tagSubjectText       ttlv.Tag = 0x42001C
	tagCertificateSerial ttlv.Tag = 0x4200AF
	tagIssuerName        ttlv.Tag = 0x4200B2
	tagSubjectName       ttlv.Tag = 0x4200B4
)

// x509Certificate is as much of a certificate as the attributes tell (RFC 5280 section 4.1). It is read here, and not by
// crypto/x509, since a key manager also keeps certificates for curves that Go does not know.
type x509Certificate struct {
	TBS struct {
		Raw       asn1.RawContent
		Version   int `asn1:"optional,explicit,default:0,tag:0"`
		Serial    *big.Int
		Signature pkix.AlgorithmIdentifier
		Issuer    asn1.RawValue
		Validity  asn1.RawValue
		Subject   asn1.RawValue
		Key       asn1.RawValue
	}
	Signature pkix.AlgorithmIdentifier
	Value     asn1.BitString
}

// describeCertificate reads a certificate and tells what it is (sections 3.8 to 3.16).
func (l *attributes) describeCertificate(o *kmip.Object) error {
	if o.CertificateType != kmip.X509Certificate {
		return refusal(kmip.InvalidField, "certificates are X.509 here")
	}
	var cert x509Certificate
	if rest, err := asn1.Unmarshal(o.Value.Data, &cert); err != nil || len(rest) > 0 {
		return refusal(kmip.InvalidField, "the certificate cannot be read")
	}
	if algorithm, bits := publicSize(cert.TBS.Key.FullBytes); bits != 0 {
		l.putNew(ttlv.TagCryptographicAlgorithm, ttlv.EnumValue(algorithm))
		l.putNew(ttlv.TagCryptographicLength, ttlv.IntValue(bits))
	}
	l.put(ttlv.TagCertificateType, ttlv.EnumValue(o.CertificateType))
	l.put(ttlv.TagCertificateLength, ttlv.IntValue(int32(len(o.Value.Data))))
	if a := signatureAlgorithm(cert.Signature.Algorithm); a != 0 {
		l.put(ttlv.TagDigitalSignatureAlgorithm, ttlv.EnumValue(a))
	}
	l.putNamesAsText(&cert)
	l.putNames(&cert)
	return nil
}

// publicSize is the algorithm and the length in bits of a public key, 0 where it is of neither kind known here. The
// length of a key on an unknown curve is that of its point's coordinates.
func publicSize(der []byte) (kmip.CryptographicAlgorithm, int32) {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		return sizeOf(key)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Point     asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil || info.Algorithm.Algorithm.String() != "1.2.840.10045.2.1" {
		return 0, 0
	}
	return kmip.EC, int32(info.Point.BitLength-8) / 2
}

// putNamesAsText are the attributes of 1.0, which later versions deprecate.
func (l *attributes) putNamesAsText(cert *x509Certificate) {
	issuer, subject := nameText(cert.TBS.Issuer), nameText(cert.TBS.Subject)
	serial := strings.ToUpper(cert.TBS.Serial.Text(16))
	if len(serial)%2 != 0 {
		serial = "0" + serial
	}
	l.put(ttlv.TagCertificateIdentifier, ttlv.StructValue(0, func(c *ttlv.Coder) {
		c.Text(tagIssuer, &issuer)
		c.Text(tagSerialNumber, &serial)
	}))
	l.put(ttlv.TagCertificateIssuer, ttlv.StructValue(0, func(c *ttlv.Coder) { c.Text(tagIssuerText, &issuer) }))
	l.put(ttlv.TagCertificateSubject, ttlv.StructValue(0, func(c *ttlv.Coder) { c.Text(tagSubjectText, &subject) }))
}

// nameText is a distinguished name as in "CN=a,O=b", "" where it cannot be read.
func nameText(der asn1.RawValue) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(der.FullBytes, &name); err != nil {
		return ""
	}
	return name.String()
}

// putNames are the attributes of 1.1 and later, in DER.
func (l *attributes) putNames(cert *x509Certificate) {
	issuer, subject, serial := cert.TBS.Issuer.FullBytes, cert.TBS.Subject.FullBytes, cert.TBS.Serial.Bytes()
	l.put(ttlv.TagX509CertificateIdentifier, ttlv.StructValue(0, func(c *ttlv.Coder) {
		c.Bytes(tagIssuerName, &issuer)
		c.Bytes(tagCertificateSerial, &serial)
	}))
	l.put(ttlv.TagX509CertificateIssuer, ttlv.StructValue(0, func(c *ttlv.Coder) { c.Bytes(tagIssuerName, &issuer) }))
	l.put(ttlv.TagX509CertificateSubject, ttlv.StructValue(0, func(c *ttlv.Coder) { c.Bytes(tagSubjectName, &subject) }))
}

// signatureAlgorithm is the number of section 9.1.3.2.7 for an object identifier, 0 where there is none.
func signatureAlgorithm(id asn1.ObjectIdentifier) uint32 {
	switch id.String() {
	case "1.2.840.113549.1.1.4":
		return 0x02 // MD5 with RSA
	case "1.2.840.113549.1.1.5":
		return 0x03 // SHA-1 with RSA
	case "1.2.840.113549.1.1.11":
		return 0x05 // SHA-256 with RSA
	case "1.2.840.113549.1.1.12":
		return 0x06 // SHA-384 with RSA
	case "1.2.840.113549.1.1.13":
		return 0x07 // SHA-512 with RSA
	case "1.2.840.113549.1.1.10":
		return 0x08 // RSASSA-PSS
	case "1.2.840.10045.4.1":
		return 0x0C // ECDSA with SHA-1
	case "1.2.840.10045.4.3.2":
		return 0x0E // ECDSA with SHA-256
	case "1.2.840.10045.4.3.3":
		return 0x0F // ECDSA with SHA-384
	case "1.2.840.10045.4.3.4":
		return 0x10 // ECDSA with SHA-512
	}
	return 0
}
