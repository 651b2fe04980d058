package mock_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

func TestInventory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "objects.json")
	c := one(t, mock.Config{Inventory: file}, kmip.V1_4)
	read := func() (list []mock.Entry) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &list))
		return list
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, "[]", string(text))

	id := do(t, c, createAES(kmip.NameAttribute("n"), kmip.ApplicationAttribute("openstack-project-id", "p"),
		kmip.ApplicationAttribute("openstack-user-id", "u"))).UniqueIdentifier
	entry := mock.Entry{ID: id, Names: []string{"n"}, Type: "SymmetricKey", State: "PreActive", ProjectID: "p", UserID: "u"}
	require.Equal(t, []mock.Entry{entry}, read())
	do(t, c, &kmip.Activate{UniqueIdentifier: id})
	entry.State = "Active"
	require.Equal(t, []mock.Entry{entry}, read())

	secret := []byte("correct horse battery staple")
	do(t, c, &kmip.Register{Object: passphrase(string(secret)), Attributes: kmip.Attributes{mask(kmip.UsageEncrypt)}})
	require.Len(t, read(), 2)
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	for _, form := range [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(secret))} {
		require.False(t, bytes.Contains(text, form))
	}
	require.Contains(t, string(text), `"names": []`)

	do(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise})
	do(t, c, &kmip.Destroy{UniqueIdentifier: id})
	require.Len(t, read(), 1, "what is destroyed does not exist")
}

// TestInventoryFollowsDates without a request that would look at the object.
func TestInventoryFollowsDates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "objects.json")
	c := one(t, mock.Config{Inventory: file}, kmip.V1_4)
	now := time.Now()
	do(t, c, createAES(
		kmip.TimeAttribute(ttlv.TagActivationDate, now.Add(time.Second)),
		kmip.TimeAttribute(ttlv.TagDeactivationDate, now.Add(3*time.Second)),
	))
	for _, state := range []string{"PreActive", "Active", "Deactivated"} {
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			return bytes.Contains(text, []byte(`"state": "`+state+`"`))
		}, 10*time.Second, 10*time.Millisecond, state)
	}
}

func TestAnInventoryThatCannotBeWritten(t *testing.T) {
	_, err := mock.Start(mock.Config{Inventory: filepath.Join(t.TempDir(), "none", "objects.json")})
	require.Error(t, err)
	_, err = mock.Start(mock.Config{Inventory: os.DevNull})
	require.ErrorContains(t, err, "not a regular file")
}

func TestAnInventoryBehindALink(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "objects.json")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Symlink("objects.json", link))
	s, err := mock.Start(mock.Config{Inventory: link})
	require.NoError(t, err)
	defer s.Close()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "[]\n", string(text))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, info.Mode().Type())
}
