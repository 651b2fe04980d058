package mock

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// symmetricLengths are the lengths in bits that a symmetric algorithm's keys have, nil where it is none.
func symmetricLengths(a kmip.CryptographicAlgorithm) []int32 {
	switch a {
	case kmip.AES, kmip.Camellia, kmip.ARIA, kmip.Twofish:
		return []int32{128, 192, 256}
	case kmip.TripleDES: // with and without the parity bits
		return []int32{112, 128, 168, 192}
	case kmip.DES:
		return []int32{56, 64}
	case kmip.SEED, kmip.SM4, kmip.IDEA:
		return []int32{128}
	case kmip.ChaCha20, kmip.ChaCha20Poly1305, kmip.Poly1305:
		return []int32{256}
	case kmip.Skipjack:
		return []int32{80}
	case kmip.CAST5:
		return byteLengths(40, 128)
	case kmip.Blowfish:
		return byteLengths(32, 448)
	case kmip.RC2, kmip.RC4, kmip.RC5, kmip.MARS:
		return byteLengths(40, 2040)
	case kmip.HMACSHA1, kmip.HMACSHA224, kmip.HMACSHA256, kmip.HMACSHA384, kmip.HMACSHA512, kmip.HMACMD5:
		return byteLengths(64, 4096)
	}
	return nil
}

// byteLengths are all whole bytes from one length to another.
func byteLengths(from, to int32) []int32 {
	var list []int32
	for n := from; n <= to; n += 8 {
		list = append(list, n)
	}
	return list
}

// keyBytes is how many bytes a key has: those of DES carry parity bits, whether the length counts them or not.
func keyBytes(a kmip.CryptographicAlgorithm, bits int32) int {
	if (a == kmip.DES || a == kmip.TripleDES) && bits%56 == 0 {
		return int(bits) / 7
	}
	return int(bits) / 8
}

func checkLength(a kmip.CryptographicAlgorithm, bits int32) error {
	if !slices.Contains(symmetricLengths(a), bits) {
		return refusal(kmip.InvalidField, "no symmetric key of algorithm %v has %d bits", a, bits)
	}
	return nil
}

// newSymmetricKey makes a random key.
func newSymmetricKey(a kmip.CryptographicAlgorithm, bits int32) (kmip.Object, error) {
	if err := checkLength(a, bits); err != nil {
		return kmip.Object{}, err
	}
	key := make([]byte, keyBytes(a, bits))
	_, _ = rand.Read(key) // never fails
	return keyObject(kmip.SymmetricKeyObject, kmip.Raw, key, a, bits), nil
}

func keyObject(t kmip.ObjectType, f kmip.KeyFormatType, key []byte, a kmip.CryptographicAlgorithm, bits int32) kmip.Object {
	return kmip.Object{Type: t, Value: ttlv.BytesValue(key), KeyBlock: kmip.KeyBlock{Format: f, Algorithm: a, Length: bits}}
}

// newKeyPair makes a key pair: the private key as PKCS#8, the public key as PKCS#1 (RSA) or X.509 (elliptic curves).
func newKeyPair(a kmip.CryptographicAlgorithm, bits int32) (private, public kmip.Object, err error) {
	key, err := newPrivateKey(a, bits)
	if err != nil {
		return private, public, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return private, public, err
	}
	format := kmip.X509
	if a == kmip.RSA {
		format = kmip.PKCS1
	}
	publicDER, err := marshalPublic(key.Public(), format)
	return keyObject(kmip.PrivateKeyObject, kmip.PKCS8, der, a, bits), keyObject(kmip.PublicKeyObject, format, publicDER, a, bits), err
}

func newPrivateKey(a kmip.CryptographicAlgorithm, bits int32) (crypto.Signer, error) {
	curve := curveOf(bits)
	switch {
	case a == kmip.RSA && slices.Contains([]int32{1024, 2048, 3072, 4096}, bits):
		return rsa.GenerateKey(rand.Reader, int(bits))
	case (a == kmip.EC || a == kmip.ECDSA || a == kmip.ECDH) && curve != nil:
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	return nil, refusal(kmip.InvalidField, "no key pair of algorithm %v has %d bits here", a, bits)
}

// curveOf is the NIST curve with keys of that length.
func curveOf(bits int32) elliptic.Curve {
	for _, c := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if c.Params().BitSize == int(bits) {
			return c
		}
	}
	return nil
}

// inFormat is a copy of an object in the format asked for, 0 for the one it has (section 4.11).
func inFormat(o *kmip.Object, f kmip.KeyFormatType) (kmip.Object, error) {
	if f == 0 || f == o.KeyBlock.Format {
		return copyObject(o), nil
	}
	if !hasValue(o) {
		return kmip.Object{}, refusal(kmip.KeyValueNotPresent, "there is no value to convert")
	}
	value, err := convert(o, f)
	if err != nil {
		return kmip.Object{}, refusal(kmip.KeyFormatTypeNotSupported, "an object of type %v does not come in format 0x%X here", o.Type, uint32(f))
	}
	c := *o
	c.KeyBlock.Format, c.Value = f, value
	return c, nil
}

// convert is the value in another format.
func convert(o *kmip.Object, f kmip.KeyFormatType) (ttlv.Value, error) {
	key, err := o.Bytes()
	if err != nil {
		return ttlv.Value{}, err
	}
	switch {
	case o.Type == kmip.SymmetricKeyObject && f == kmip.Raw:
		return ttlv.BytesValue(slices.Clone(key)), nil
	case o.Type == kmip.SymmetricKeyObject && f == kmip.TransparentSymmetricKey:
		return ttlv.StructValue(0, func(c *ttlv.Coder) { c.Bytes(ttlv.TagKey, (*[]byte)(&key)) }), nil
	case o.Type == kmip.PrivateKeyObject:
		key, err = convertPrivate(key, f)
	case o.Type == kmip.PublicKeyObject:
		key, err = convertPublic(key, o.KeyBlock.Format, f)
	default:
		return ttlv.Value{}, x509.ErrUnsupportedAlgorithm
	}
	return ttlv.BytesValue(key), err
}

func convertPrivate(der []byte, f kmip.KeyFormatType) ([]byte, error) {
	key, err := parsePrivate(der)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if f == kmip.PKCS1 {
			return x509.MarshalPKCS1PrivateKey(k), nil
		}
	case *ecdsa.PrivateKey:
		if f == kmip.ECPrivateKey {
			return x509.MarshalECPrivateKey(k)
		}
	}
	if f == kmip.PKCS8 {
		return x509.MarshalPKCS8PrivateKey(key)
	}
	return nil, x509.ErrUnsupportedAlgorithm
}

// parsePrivate reads a private key as PKCS#1, as SEC 1 or as PKCS#8.
func parsePrivate(der []byte) (any, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(der)
}

func convertPublic(der []byte, from, to kmip.KeyFormatType) ([]byte, error) {
	key, err := parsePublic(der, from)
	if err != nil {
		return nil, err
	}
	return marshalPublic(key, to)
}

func parsePublic(der []byte, f kmip.KeyFormatType) (any, error) {
	if f == kmip.PKCS1 {
		return x509.ParsePKCS1PublicKey(der)
	}
	return x509.ParsePKIXPublicKey(der)
}

func marshalPublic(key any, f kmip.KeyFormatType) ([]byte, error) {
	if k, ok := key.(*rsa.PublicKey); ok && f == kmip.PKCS1 {
		return x509.MarshalPKCS1PublicKey(k), nil
	}
	if f == kmip.X509 {
		return x509.MarshalPKIXPublicKey(key)
	}
	return nil, x509.ErrUnsupportedAlgorithm
}
