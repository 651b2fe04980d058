package mock_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

func TestCreateWantsAWholeDescription(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	for i := range aes(256) {
		l := aes(256)
		l = append(l[:i], l[i+1:]...)
		refused(t, c, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: l}, kmip.InvalidField)
	}
	refused(t, c, &kmip.Create{ObjectType: kmip.SecretDataObject, Attributes: aes(256)}, kmip.InvalidField)
	for _, bits := range []int32{-128, 0, 127, 255, 512} {
		refused(t, c, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: aes(bits)}, kmip.InvalidField)
	}
	for algorithm, bits := range map[kmip.CryptographicAlgorithm]int32{kmip.RSA: 2048, kmip.DES: 128, kmip.HMACSHA256: 129, 0x99: 128} {
		l := aes(bits)
		l[0] = kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, algorithm)
		refused(t, c, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: l}, kmip.InvalidField)
	}
}

func TestKeyPairs(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	for _, test := range []struct {
		algorithm kmip.CryptographicAlgorithm
		bits      int32
	}{{kmip.RSA, 2048}, {kmip.EC, 256}, {kmip.ECDSA, 384}, {kmip.ECDSA, 521}} {
		t.Run(test.algorithm.String(), func(t *testing.T) {
			pair := do(t, c, keyPair(test.algorithm, test.bits))
			private, public := do(t, c, &kmip.Get{UniqueIdentifier: pair.Private}).Object, do(t, c, &kmip.Get{UniqueIdentifier: pair.Public}).Object
			require.Equal(t, kmip.PrivateKeyObject, private.Type)
			require.Equal(t, kmip.PublicKeyObject, public.Type)
			key, err := x509.ParsePKCS8PrivateKey(private.Value.Data)
			require.NoError(t, err)
			half := do(t, c, &kmip.Get{UniqueIdentifier: pair.Public, Format: kmip.X509}).Object
			other, err := x509.ParsePKIXPublicKey(half.Value.Data)
			require.NoError(t, err)
			switch k := key.(type) {
			case *rsa.PrivateKey:
				require.True(t, k.PublicKey.Equal(other))
			case *ecdsa.PrivateKey:
				require.True(t, k.PublicKey.Equal(other))
			}
			link := attributesOf(t, c, pair.Private, ttlv.TagLink)[0].Value
			require.True(t, link.Equal(kmip.LinkAttribute(kmip.PublicKeyLink, pair.Public).Value))
		})
	}
	refused(t, c, keyPair(kmip.RSA, 1000), kmip.InvalidField)
	refused(t, c, keyPair(kmip.AES, 256), kmip.InvalidField)
	without := keyPair(kmip.RSA, 2048)
	without.Public = nil
	refused(t, c, without, kmip.InvalidField)
	named := keyPair(kmip.EC, 256)
	named.Common = append(named.Common, kmip.NameAttribute("both"))
	refused(t, c, named, kmip.InvalidField)
}

func keyPair(a kmip.CryptographicAlgorithm, bits int32) *kmip.CreateKeyPair {
	return &kmip.CreateKeyPair{
		Common: kmip.Attributes{
			kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, a), kmip.IntAttribute(ttlv.TagCryptographicLength, bits),
		},
		Private: kmip.Attributes{mask(kmip.UsageSign)},
		Public:  kmip.Attributes{mask(kmip.UsageVerify)},
	}
}

func symmetric(a kmip.CryptographicAlgorithm, bits int32, key []byte) kmip.Object {
	return keyOf(kmip.SymmetricKeyObject, kmip.Raw, a, bits, key)
}

func keyOf(t kmip.ObjectType, f kmip.KeyFormatType, a kmip.CryptographicAlgorithm, bits int32, key []byte) kmip.Object {
	return kmip.Object{Type: t, Value: ttlv.BytesValue(key), KeyBlock: kmip.KeyBlock{Format: f, Algorithm: a, Length: bits}}
}

func passphrase(text string) kmip.Object {
	o := kmip.Object{Type: kmip.SecretDataObject, SecretDataType: kmip.PasswordData}
	o.KeyBlock.Format, o.Value = kmip.Opaque, ttlv.BytesValue([]byte(text))
	return o
}

// TestRegisterAndGet: every object type comes back as it went in.
func TestRegisterAndGet(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	require.NoError(t, err)
	spki, err := x509.MarshalPKIXPublicKey(ecKey.Public())
	require.NoError(t, err)
	objects := map[string]kmip.Object{
		"symmetric":   symmetric(kmip.AES, 128, make([]byte, 16)),
		"XTS":         symmetric(kmip.AES, 512, make([]byte, 64)),
		"3DES":        symmetric(kmip.TripleDES, 168, make([]byte, 24)),
		"HMAC":        symmetric(kmip.HMACSHA256, 256, make([]byte, 32)),
		"private":     keyOf(kmip.PrivateKeyObject, kmip.PKCS1, kmip.RSA, 2048, x509.MarshalPKCS1PrivateKey(rsaKey)),
		"public":      keyOf(kmip.PublicKeyObject, kmip.PKCS1, kmip.RSA, 2048, x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)),
		"EC":          keyOf(kmip.PrivateKeyObject, kmip.ECPrivateKey, kmip.ECDSA, 256, sec1),
		"EC, public":  keyOf(kmip.PublicKeyObject, kmip.X509, kmip.EC, 256, spki),
		"secret":      passphrase("word"),
		"certificate": {Type: kmip.CertificateObject, CertificateType: kmip.X509Certificate, Value: ttlv.BytesValue(pki.Server.Certificate[0])},
		"opaque":      {Type: kmip.OpaqueObject, OpaqueDataType: kmip.OpaqueData, Value: ttlv.BytesValue([]byte("x"))},
	}
	for _, v := range kmip.Versions() {
		c := one(t, mock.Config{}, v)
		for name, o := range objects {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				register := &kmip.Register{Object: o}
				if o.Type != kmip.OpaqueObject {
					register.Attributes = kmip.Attributes{mask(kmip.UsageSign)}
				}
				id := do(t, c, register).UniqueIdentifier
				require.Equal(t, o, do(t, c, &kmip.Get{UniqueIdentifier: id}).Object)
				require.Equal(t, uint32(o.Type), attributesOf(t, c, id, ttlv.TagObjectType).Enum(ttlv.TagObjectType))
			})
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	certificate := kmip.Object{Type: kmip.CertificateObject, CertificateType: kmip.X509Certificate, Value: ttlv.BytesValue(pki.Server.Certificate[0])}
	bare := symmetric(0, 0, make([]byte, 16))
	wrapped := symmetric(kmip.AES, 128, make([]byte, 24))
	wrapped.KeyBlock.Wrapping = &kmip.Wrapping{Whole: true}
	compressed := symmetric(kmip.AES, 128, make([]byte, 16))
	compressed.KeyBlock.Compression = 2
	absent := symmetric(kmip.AES, 128, nil)
	absent.Value = ttlv.Value{}
	x509Key := symmetric(kmip.AES, 128, make([]byte, 16))
	x509Key.KeyBlock.Format = kmip.X509
	noType := passphrase("x")
	noType.SecretDataType = 3
	for _, test := range []struct {
		name   string
		object kmip.Object
		more   kmip.Attributes
		reason kmip.ResultReason
	}{
		{"no usage mask", symmetric(kmip.AES, 128, make([]byte, 16)), nil, kmip.InvalidField},
		{"too short", symmetric(kmip.AES, 128, make([]byte, 15)), kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"too long", symmetric(kmip.AES, 128, make([]byte, 17)), kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"no such algorithm", symmetric(kmip.RSA, 2048, make([]byte, 256)), kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"nothing in the key block", bare, aes(128), kmip.InvalidField},
		{"attributes differ", symmetric(kmip.AES, 128, make([]byte, 16)), aes(256), kmip.InvalidField},
		{"wrapped", wrapped, kmip.Attributes{mask(1)}, kmip.FeatureNotSupported},
		{"compressed", compressed, kmip.Attributes{mask(1)}, kmip.KeyCompressionTypeNotSupported},
		{"absent", absent, kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"format of others", x509Key, kmip.Attributes{mask(1)}, kmip.KeyFormatTypeNotSupported},
		{"no private key", keyOf(kmip.PrivateKeyObject, kmip.PKCS8, kmip.RSA, 2048, []byte("x")), kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"no secret data type", noType, kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"no opaque data type", kmip.Object{Type: kmip.OpaqueObject, OpaqueDataType: 5, Value: ttlv.BytesValue([]byte("x"))}, nil, kmip.InvalidField},
		{"empty secret", passphrase(""), kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"secret with a length", passphrase("x"), aes(128), kmip.InvalidField},
		{"no certificate", kmip.Object{Type: kmip.CertificateObject, CertificateType: kmip.X509Certificate, Value: ttlv.BytesValue([]byte("x"))}, kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"no X.509", kmip.Object{Type: kmip.CertificateObject, CertificateType: 2, Value: ttlv.BytesValue([]byte("x"))}, kmip.Attributes{mask(1)}, kmip.InvalidField},
		{"no usage mask of a certificate", certificate, nil, kmip.InvalidField},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused(t, c, &kmip.Register{Object: test.object, Attributes: test.more}, test.reason)
		})
	}
}

func TestGetInAnotherFormat(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	id := do(t, c, createAES()).UniqueIdentifier
	plain, err := new(kmip.Object), error(nil)
	*plain = do(t, c, &kmip.Get{UniqueIdentifier: id, Format: kmip.Raw}).Object
	transparent := do(t, c, &kmip.Get{UniqueIdentifier: id, Format: kmip.TransparentSymmetricKey}).Object
	require.Equal(t, ttlv.TypeStructure, transparent.Value.Type)
	a, err := plain.Bytes()
	require.NoError(t, err)
	b, err := transparent.Bytes()
	require.NoError(t, err)
	require.Equal(t, a, b)
	refused(t, c, &kmip.Get{UniqueIdentifier: id, Format: kmip.PKCS8}, kmip.KeyFormatTypeNotSupported)
	refused(t, c, &kmip.Get{UniqueIdentifier: id, Compression: 2}, kmip.KeyCompressionTypeNotSupported)
	refused(t, c, &kmip.Get{UniqueIdentifier: id, Wrapping: ttlv.StructValue(0, func(*ttlv.Coder) {})}, kmip.FeatureNotSupported)

	pair := do(t, c, keyPair(kmip.RSA, 2048))
	der := do(t, c, &kmip.Get{UniqueIdentifier: pair.Private, Format: kmip.PKCS1}).Object.Value.Data
	_, err = x509.ParsePKCS1PrivateKey(der)
	require.NoError(t, err)
	refused(t, c, &kmip.Get{UniqueIdentifier: pair.Private, Format: kmip.ECPrivateKey}, kmip.KeyFormatTypeNotSupported)
}

func TestSensitiveKeysStay(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	truth := func(tag ttlv.Tag, v byte) kmip.Attribute {
		return kmip.Attribute{AttributeName: named(tag), Value: ttlv.Value{Type: ttlv.TypeBoolean, Data: []byte{0, 0, 0, 0, 0, 0, 0, v}}}
	}
	sensitive := do(t, c, createAES(truth(ttlv.TagSensitive, 1))).UniqueIdentifier
	refused(t, c, &kmip.Get{UniqueIdentifier: sensitive}, kmip.Sensitive)
	kept := do(t, c, createAES(truth(ttlv.TagExtractable, 0))).UniqueIdentifier
	refused(t, c, &kmip.Get{UniqueIdentifier: kept}, kmip.NotExtractable)
}
