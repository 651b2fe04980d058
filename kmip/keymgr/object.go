package keymgr

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// This file translates between Castellan's objects and KMIP's.

// objectTypes are the types that both have.
var objectTypes = [...]struct {
	castellan protocol.ObjectType
	kmip      kmip.ObjectType
}{
	{protocol.SymmetricKey, kmip.SymmetricKeyObject},
	{protocol.PublicKey, kmip.PublicKeyObject},
	{protocol.PrivateKey, kmip.PrivateKeyObject},
	{protocol.Certificate, kmip.CertificateObject},
	{protocol.Passphrase, kmip.SecretDataObject},
	{protocol.OpaqueData, kmip.OpaqueObject},
}

// objectType is KMIP's type for Castellan's, 0 for none.
func objectType(t protocol.ObjectType) kmip.ObjectType {
	for _, pair := range objectTypes {
		if pair.castellan == t {
			return pair.kmip
		}
	}
	return 0
}

// kind is the object's type in Castellan's words.
func (f *found) kind() (protocol.ObjectType, error) {
	t := kmip.ObjectType(f.attributes.Enum(ttlv.TagObjectType))
	if f.value != nil {
		t = f.value.Type
	}
	for _, pair := range objectTypes {
		if pair.kmip == t {
			return pair.castellan, nil
		}
	}
	return "", &protocol.Error{Kind: protocol.Unsupported, Message: fmt.Sprintf("the object is a %v, which Castellan has no type for", t)}
}

// state is the object's state in words, "" where it has none.
func (f *found) state() string {
	switch s := f.attributes.State(); s {
	case 0:
		return ""
	case kmip.PreActive:
		return "pre-active"
	case kmip.Active:
		return "active"
	case kmip.Deactivated:
		return "deactivated"
	case kmip.Compromised:
		return "compromised"
	default:
		return s.String()
	}
}

// algorithm is the key's algorithm and length, from the key itself or else from its attributes.
func (f *found) algorithm() (string, int) {
	a := kmip.CryptographicAlgorithm(f.attributes.Enum(ttlv.TagCryptographicAlgorithm))
	bits := f.attributes.Int(ttlv.TagCryptographicLength)
	if f.value != nil && f.value.KeyBlock.Algorithm != 0 {
		a = f.value.KeyBlock.Algorithm
	}
	if f.value != nil && f.value.KeyBlock.Length != 0 {
		bits = f.value.KeyBlock.Length
	}
	if a == 0 {
		return "", int(bits)
	}
	return a.String(), int(bits)
}

// checkClaims checks the form and the length that a key gives itself against its value and the length that the server gives it.
func (f *found) checkClaims() error {
	if err := checkForm(f.value); err != nil {
		return err
	}
	own, given := int(f.value.KeyBlock.Length), int(f.attributes.Int(ttlv.TagCryptographicLength))
	algorithm, _ := f.algorithm()
	if f.value.Type != kmip.SymmetricKeyObject || own == 0 || given == 0 || fits(algorithm, own, given) || fits(algorithm, given, own) {
		return nil
	}
	return fmt.Errorf("a key of %d bits that should have %d", own, given)
}

// encode is an object to register. The value stays the caller's: the result aliases it.
func encode(o *protocol.Object) (*kmip.Object, *spec, error) {
	switch o.Type {
	case protocol.SymmetricKey, protocol.PublicKey, protocol.PrivateKey:
		return encodeKey(o)
	case protocol.Passphrase:
		object := &kmip.Object{Type: kmip.SecretDataObject, SecretDataType: kmip.PasswordData}
		object.KeyBlock.Format, object.Value = kmip.Raw, ttlv.BytesValue(o.Value)
		return object, &spec{usage: kmip.UsageDeriveKey}, nil
	case protocol.Certificate:
		if _, err := x509.ParseCertificate(o.Value); err != nil {
			return nil, nil, invalid("args.object.value: no X.509 certificate in DER")
		}
		return &kmip.Object{Type: kmip.CertificateObject, CertificateType: kmip.X509Certificate, Value: ttlv.BytesValue(o.Value)},
			&spec{usage: kmip.UsageVerify}, nil
	}
	return &kmip.Object{Type: kmip.OpaqueObject, OpaqueDataType: kmip.OpaqueData, Value: ttlv.BytesValue(o.Value)}, &spec{}, nil
}

func encodeKey(o *protocol.Object) (*kmip.Object, *spec, error) {
	if o.Algorithm == "" {
		return nil, nil, invalid("args.object.algorithm: required")
	}
	algorithm, err := parseAlgorithm("args.object.algorithm", o.Algorithm)
	if err != nil {
		return nil, nil, err
	}
	if o.BitLength == 0 { // null
		measured := *o
		measured.BitLength = measure(o)
		o = &measured
	}
	if err := checkLength(o); err != nil {
		return nil, nil, invalid("args.object: %v", err)
	}
	kind, format, usage := formOf(o, algorithm)
	s := &spec{algorithm, o.BitLength, usage}
	object := keyObject(kind, format, s, o.Value)
	if err := checkForm(object); err != nil {
		return nil, nil, invalid("args.object: %v", err)
	}
	return object, s, nil
}

// formOf is KMIP's type of a key, the format of its bytes, and what it is for.
func formOf(o *protocol.Object, a kmip.CryptographicAlgorithm) (kmip.ObjectType, kmip.KeyFormatType, kmip.UsageMask) {
	switch o.Type {
	case protocol.PublicKey:
		return kmip.PublicKeyObject, publicFormat(o.Value), publicUsage
	case protocol.PrivateKey:
		format, _ := privateKey(o.Value)
		return kmip.PrivateKeyObject, format, privateUsage
	}
	return kmip.SymmetricKeyObject, kmip.Raw, symmetricUsage(a)
}

func keyObject(kind kmip.ObjectType, format kmip.KeyFormatType, s *spec, key secret.Bytes) *kmip.Object {
	return &kmip.Object{Type: kind, Value: ttlv.BytesValue(key), KeyBlock: kmip.KeyBlock{
		Format: format, Algorithm: s.algorithm, Length: int32(s.length),
	}}
}

// What the halves of a key pair are for.
const (
	publicUsage  = kmip.UsageVerify | kmip.UsageEncrypt
	privateUsage = kmip.UsageSign | kmip.UsageDecrypt
)

// symmetricUsage is what a key of the algorithm is for.
func symmetricUsage(a kmip.CryptographicAlgorithm) kmip.UsageMask {
	switch a {
	case kmip.HMACMD5, kmip.HMACSHA1, kmip.HMACSHA224, kmip.HMACSHA256, kmip.HMACSHA384, kmip.HMACSHA512:
		return kmip.UsageMACGenerate | kmip.UsageMACVerify
	}
	return kmip.UsageEncrypt | kmip.UsageDecrypt
}

// publicFormat tells by its DER how a public key is written.
func publicFormat(der []byte) kmip.KeyFormatType {
	if _, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return kmip.PKCS1
	}
	return kmip.X509
}

// checkLength checks a key's bytes against the length it claims, so that a key that is cut short is neither stored nor
// given out. An asymmetric key is measured where its form is known.
func checkLength(o *protocol.Object) error {
	bits := measure(o)
	if bits == 0 && o.Type != protocol.SymmetricKey || fits(o.Algorithm, bits, o.BitLength) {
		return nil
	}
	return fmt.Errorf("the key has %d bits where %d are claimed", bits, o.BitLength)
}

// checkForm refuses a key in a form of DER that is cut short. One that does not begin as DER is its owner's affair.
func checkForm(o *kmip.Object) error {
	switch o.KeyBlock.Format {
	case kmip.PKCS1, kmip.PKCS8, kmip.X509, kmip.ECPrivateKey:
		if isBrokenDER(o.Value.Data) {
			return errors.New("the key begins as DER but is not one whole DER value")
		}
	}
	return nil
}

// measure is a key's length by its value, 0 where its form is not known and for what is no key.
func measure(o *protocol.Object) (bits int) {
	switch o.Type {
	case protocol.SymmetricKey:
		bits = len(o.Value) * 8
	case protocol.PublicKey:
		bits = publicBits(o.Value)
	case protocol.PrivateKey:
		_, bits = privateKey(o.Value)
	}
	return bits
}

// fits reports whether a key of so many bits may claim that length. The parity bits of DES are counted by some and not by
// others, and some servers do not name the algorithm.
func fits(algorithm string, bits, claimed int) bool {
	if bits == claimed {
		return bits > 0
	}
	switch a, _ := kmip.ParseAlgorithm(algorithm); a {
	case 0, kmip.DES, kmip.TripleDES:
		return bits/8*7 == claimed && (bits == 64 || bits == 128 || bits == 192)
	}
	return false
}

// publicBits is the length of a public key, 0 where it is not known.
func publicBits(der []byte) int {
	switch k := parsePublic(der).(type) {
	case *rsa.PublicKey:
		return k.N.BitLen()
	case *ecdsa.PublicKey:
		return k.Params().BitSize
	case ed25519.PublicKey:
		return 256
	}
	return 0
}

// parsePublic is a key of crypto/x509, nil where it cannot be read.
func parsePublic(der []byte) any {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key
	}
	return nil
}
