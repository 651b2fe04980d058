package mock

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// describe checks an object that is being registered against its attributes, and adds those that its value tells
// (section 4.3).
func (l *attributes) describe(o *kmip.Object, v kmip.Version) error {
	if cryptographic&kind(o.Type) != 0 && !l.has(ttlv.TagCryptographicUsageMask) {
		return refusal(kmip.InvalidField, "the object needs the attribute %v", ttlv.TagCryptographicUsageMask)
	}
	switch o.Type {
	case kmip.OpaqueObject:
		return checkOpaque(o)
	case kmip.CertificateObject:
		return l.describeCertificate(o)
	}
	if err := l.checkBlock(o, v); err != nil {
		return err
	}
	if o.Type == kmip.SecretDataObject {
		return checkSecretData(o)
	}
	return l.describeKey(o)
}

// checkBlock refuses key blocks that this server does not store, whatever they are blocks of (section 2.1.3).
func (l *attributes) checkBlock(o *kmip.Object, v kmip.Version) error {
	k := &o.KeyBlock
	switch {
	case k.IsWrapped():
		return refusal(kmip.FeatureNotSupported, "wrapped keys are not stored here")
	case k.IsCompressed():
		return refusal(kmip.KeyCompressionTypeNotSupported, "compressed keys are not stored here")
	case len(k.Attributes) > 0:
		return refusal(kmip.FeatureNotSupported, "attributes within a key value are not stored here")
	case o.Value.Type == 0 && !l.has(ttlv.TagKeyValueLocation):
		return refusal(kmip.InvalidField, "no key value, and no %v", ttlv.TagKeyValueLocation)
	case o.Value.Type == 0 && v < sinceCredentials:
		return invalid("keys without their value came with KMIP %v", sinceCredentials)
	}
	return nil
}

// checkOpaque wants a type of opaque data, of which there are vendors' alone (section 9.1.3.2.10).
func checkOpaque(o *kmip.Object) error {
	if o.OpaqueDataType < kmip.OpaqueData {
		return refusal(kmip.InvalidField, "no opaque data type 0x%X", uint32(o.OpaqueDataType))
	}
	return nil
}

// checkSecretData wants bytes of a type that there is (sections 2.2.7 and 9.1.3.2.9).
func checkSecretData(o *kmip.Object) error {
	const seed = 2
	value, err := o.Bytes()
	switch {
	case o.SecretDataType == 0 || o.SecretDataType > seed && o.SecretDataType < 0x80000000:
		return refusal(kmip.InvalidField, "no secret data type 0x%X", uint32(o.SecretDataType))
	case o.KeyBlock.Format != kmip.Opaque && o.KeyBlock.Format != kmip.Raw:
		return refusal(kmip.KeyFormatTypeNotSupported, "secret data is Raw or Opaque")
	case hasValue(o) && (err != nil || len(value) == 0):
		return refusal(kmip.InvalidField, "secret data is a Byte String with something in it")
	}
	return nil
}

// describeKey makes sure that key block, attributes and the key itself agree about algorithm and length.
func (l *attributes) describeKey(o *kmip.Object) error {
	k := &o.KeyBlock
	if k.Algorithm == 0 || k.Length <= 0 {
		return refusal(kmip.InvalidField, "the key block tells no algorithm and length")
	}
	l.putNew(ttlv.TagCryptographicAlgorithm, ttlv.EnumValue(k.Algorithm))
	l.putNew(ttlv.TagCryptographicLength, ttlv.IntValue(k.Length))
	if l.algorithm() != k.Algorithm || l.int(ttlv.TagCryptographicLength) != k.Length {
		return refusal(kmip.InvalidField, "key block and attributes differ in algorithm or length")
	}
	switch {
	case o.Type == kmip.SymmetricKeyObject:
		return checkSymmetric(o)
	case o.Value.Type == ttlv.TypeByteString:
		return checkAsymmetric(o)
	case o.Value.Type == ttlv.TypeStructure && !isTransparentAsymmetric(k.Format):
		return refusal(kmip.KeyFormatTypeNotSupported, "key format type 0x%X is no structure", uint32(k.Format))
	}
	return nil
}

// isTransparentAsymmetric reports whether the format is a transparent one of a key pair's (section 9.1.3.2.3). Their numbers
// are kept as they come.
func isTransparentAsymmetric(f kmip.KeyFormatType) bool {
	return f > kmip.TransparentSymmetricKey && f <= 0x15
}

func checkSymmetric(o *kmip.Object) error {
	k := &o.KeyBlock
	// A key of a length that this server would not make is stored too: XTS takes two AES keys as one of 512 bits.
	if symmetricLengths(k.Algorithm) == nil {
		return refusal(kmip.InvalidField, "%v is no algorithm of symmetric keys", k.Algorithm)
	}
	if k.Format != kmip.Raw && k.Format != kmip.TransparentSymmetricKey {
		return refusal(kmip.KeyFormatTypeNotSupported, "a symmetric key is Raw or Transparent")
	}
	if !hasValue(o) {
		return nil
	}
	key, err := o.Bytes()
	if transparent := o.Value.Type == ttlv.TypeStructure; err != nil || transparent != (k.Format == kmip.TransparentSymmetricKey) {
		return refusal(kmip.InvalidField, "the key material is not of its format")
	}
	if len(key) != keyBytes(k.Algorithm, k.Length) {
		return refusal(kmip.InvalidField, "%d bytes of key material for %d bits", len(key), k.Length)
	}
	return nil
}

// checkAsymmetric reads a key and checks its size against what it is said to be.
func checkAsymmetric(o *kmip.Object) error {
	k := &o.KeyBlock
	var key any
	var err error
	switch {
	case o.Type == kmip.PublicKeyObject && (k.Format == kmip.PKCS1 || k.Format == kmip.X509):
		key, err = parsePublic(o.Value.Data, k.Format)
	case o.Type == kmip.PrivateKeyObject && (k.Format == kmip.PKCS1 || k.Format == kmip.PKCS8 || k.Format == kmip.ECPrivateKey):
		key, err = parsePrivate(o.Value.Data)
	default:
		return refusal(kmip.KeyFormatTypeNotSupported, "no key of type %v in format 0x%X here", o.Type, uint32(k.Format))
	}
	switch algorithm, bits := sizeOf(key); {
	case err != nil && !isDER(o.Value.Data):
		return refusal(kmip.InvalidField, "the key material is not of its format")
	case err == nil && (bits != k.Length || algorithm != family(k.Algorithm)):
		return refusal(kmip.InvalidField, "the key is not what its algorithm and length say")
	}
	return nil
}

// isDER reports whether the bytes are one ASN.1 sequence. An encrypted key, or one of a curve that crypto/x509 does not
// know, is stored when it is that.
func isDER(b []byte) bool {
	var sequence []asn1.RawValue
	rest, err := asn1.Unmarshal(b, &sequence)
	return err == nil && len(rest) == 0 && len(sequence) > 0
}

// family is RSA, EC for all uses of elliptic curves, or the algorithm itself.
func family(a kmip.CryptographicAlgorithm) kmip.CryptographicAlgorithm {
	switch a {
	case kmip.ECDSA, kmip.ECDH, kmip.ECMQV:
		return kmip.EC
	}
	return a
}

// sizeOf is the algorithm and the length in bits of a key of crypto/x509.
func sizeOf(key any) (kmip.CryptographicAlgorithm, int32) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return kmip.RSA, int32(k.N.BitLen())
	case *rsa.PublicKey:
		return kmip.RSA, int32(k.N.BitLen())
	case *ecdsa.PrivateKey:
		return kmip.EC, int32(k.Curve.Params().BitSize)
	case *ecdsa.PublicKey:
		return kmip.EC, int32(k.Curve.Params().BitSize)
	}
	return 0, 0
}
