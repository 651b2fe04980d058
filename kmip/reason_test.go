package kmip

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/ttlv"
)

// The numbers of KMIP 2.1 section 11.46, some from each version.
func TestResultReasons(t *testing.T) {
	for name, reason := range map[string]ResultReason{
		"ItemNotFound": 0x01, "InvalidMessage": 0x04, "PermissionDenied": 0x0C, "KeyFormatTypeNotSupported": 0x10,
		"KeyValueNotPresent": 0x13, "AttestationFailed": 0x15, "NotExtractable": 0x17, "ObjectAlreadyExists": 0x18,
		"InvalidTicket": 0x19, "ReadOnlyAttribute": 0x1D, "AttributeInstanceNotFound": 0x20, "ObjectDestroyed": 0x36,
		"UnsupportedProtocolVersion": 0x3F, "PKCS11InvalidInterface": 0x47, "UnknownObjectGroup": 0x4A,
		"DuplicateProcessRequest": 0x4C, "GeneralFailure": 0x100, "IdentityUnavailable": IdentityUnavailable,
	} {
		require.Equal(t, name, reason.String())
		require.EqualError(t, reason, "kmip: "+name)
		parsed, err := ParseResultReason(name)
		require.NoError(t, err)
		require.Equal(t, reason, parsed)
	}
	for _, name := range []string{"", "0x00000027", "NoSuchReason"} {
		_, err := ParseResultReason(name)
		require.EqualError(t, err, fmt.Sprintf("kmip: no result reason %q", name))
	}
}

func TestReasonNamesAreUnique(t *testing.T) {
	named := 0
	for r, name := range reasonNames {
		if name == "" {
			continue
		}
		named++
		parsed, err := ParseResultReason(name)
		require.NoError(t, err)
		require.EqualValues(t, r, parsed)
	}
	require.Greater(t, named, 60)
}

func TestResultErrors(t *testing.T) {
	var err error = &ResultError{OpGet, ItemNotFound, "no\nsuch object"}
	require.EqualError(t, err, `kmip: Get: ItemNotFound ("no\nsuch object")`)
	err = fmt.Errorf("around: %w", err)
	require.ErrorIs(t, err, ItemNotFound)
	require.NotErrorIs(t, err, PermissionDenied)
	require.EqualError(t, &ResultError{Reason: InvalidMessage}, "kmip: InvalidMessage")
	require.EqualError(t, &ResultError{Operation: 0x99, Reason: 0x8000FFFF}, "kmip: 0x00000099: 0x8000FFFF")
}

// A reason that nobody here knows travels, and is told from others.
func TestUnknownReasonIsKept(t *testing.T) {
	m := response(V1_4, OpGet, nil)
	m.Items[0].Status, m.Items[0].Reason = StatusFailed, 0x8000ABCD
	requireRoundTrip(t, m)
	err := m.Items[0].err()
	var reason ResultReason
	require.True(t, errors.As(err, &reason))
	require.EqualValues(t, uint32(0x8000ABCD), reason)
}

func TestVersions(t *testing.T) {
	for _, v := range Versions() {
		parsed, err := ParseVersion(v.String())
		require.NoError(t, err)
		require.Equal(t, v, parsed)
		require.True(t, v.known())
	}
	require.Equal(t, []Version{V1_4, V1_3, V1_2, V1_1, V1_0, V2_1, V2_0}, Versions())
	for _, text := range []string{"", "auto", "1", "1.5", "2.2", "01.4", "1.4 ", "257.4"} {
		_, err := ParseVersion(text)
		require.ErrorContains(t, err, "kmip: no version ")
	}
	require.False(t, Version(0x0105).known() || Version(0x0202).known() || Version(0).known() || Version(0x0099).known())
}

// A version in a message is not cut to fit.
func TestOversizedVersions(t *testing.T) {
	for _, tt := range []struct{ major, minor int32 }{{257, 4}, {1, 260}, {-1, 0}, {1, -1}} {
		v := ttlv.StructValue(0, func(c *ttlv.Coder) {
			c.Int(ttlv.TagProtocolVersionMajor, &tt.major)
			c.Int(ttlv.TagProtocolVersionMinor, &tt.minor)
		})
		require.ErrorContains(t, v.Struct(0, new(Version).fields), fmt.Sprintf("no version %d.%d", tt.major, tt.minor))
	}
}

func TestAlgorithms(t *testing.T) {
	for text, want := range map[string]CryptographicAlgorithm{
		"AES": AES, "aes": AES, "3DES": TripleDES, "DESede": TripleDES, "desede": TripleDES, "HMAC-SHA256": HMACSHA256,
		"hmac_sha256": HMACSHA256, "HMACSHA256": HMACSHA256, "one time pad": OneTimePad, "ed25519": Ed25519, "RSA": RSA,
	} {
		a, ok := ParseAlgorithm(text)
		require.True(t, ok, text)
		require.Equal(t, want, a)
	}
	for _, text := range []string{"", "-", "AES-256", "0x00000003", "ſha"} {
		_, ok := ParseAlgorithm(text)
		require.False(t, ok, text)
	}
	for a, name := range algorithmNames {
		if name != "" {
			parsed, ok := ParseAlgorithm(CryptographicAlgorithm(a).String())
			require.True(t, ok)
			require.EqualValues(t, a, parsed)
		}
	}
	require.Equal(t, "0x8000FFFF", CryptographicAlgorithm(0x8000FFFF).String())
}

func TestOperations(t *testing.T) {
	require.Len(t, Operations(), 15)
	for _, op := range Operations() {
		require.NotEmpty(t, op.String())
		require.True(t, op.Since().known())
	}
	safe := map[Operation]bool{OpLocate: true, OpGet: true, OpGetAttributes: true, OpGetAttributeList: true, OpQuery: true, OpDiscoverVersions: true}
	for op := range Operation(0x40) {
		require.Equal(t, safe[op], op.SafeToRepeat(), "%v", op)
	}
	for _, unknown := range []Operation{0, 0x04, 0x7FFFFFFF, 0xFFFFFFFF} {
		require.Equal(t, fmt.Sprintf("0x%08X", uint32(unknown)), unknown.String())
		require.Zero(t, unknown.Since())
		require.Nil(t, unknown.newRequest())
		require.Nil(t, unknown.newResponse())
	}
}

// What a server says fits a line.
func TestManyWords(t *testing.T) {
	err := &ResultError{Reason: GeneralFailure, Message: strings.Repeat("t", 256)}
	require.Equal(t, fmt.Sprintf("kmip: GeneralFailure (%q)", err.Message), err.Error())
	err.Message += "t"
	require.Equal(t, fmt.Sprintf("kmip: GeneralFailure (%q)", strings.Repeat("t", 256)+"..."), err.Error())
}
