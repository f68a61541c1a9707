package suite

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

// Object is any Kubernetes object.
type Object = map[string]any

// Cluster is a client of the API server that KUBECONFIG names, with the rights of its administrator or of a token.
type Cluster struct {
	server, token string
	client        *http.Client
}

// Connect reads KUBECONFIG in the form that envkit writes: one context, all data inline.
func Connect(t Failer, token string) *Cluster {
	t.Helper()
	text, err := os.ReadFile(Variable(t, "KUBECONFIG"))
	if err != nil {
		t.Fatalf("KUBECONFIG cannot be read: %v", err)
	}
	settings := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	settings.RootCAs.AppendCertsFromPEM(inline(t, text, "certificate-authority-data"))
	if token == "" {
		pair, err := tls.X509KeyPair(inline(t, text, "client-certificate-data"), inline(t, text, "client-key-data"))
		if err != nil {
			t.Fatalf("KUBECONFIG's client certificate: %v", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return &Cluster{
		server: strings.TrimRight(field(t, text, "server"), "/"),
		token:  token,
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: settings}},
	}
}

// Ask sends a call and returns status and answer. It retries after 1, 2, 4 s while the API server is busy or silent.
func (c *Cluster) Ask(method, path string, body Object) (int, Object, error) {
	pause := time.Second
	for attempt := 0; ; attempt++ {
		status, answer, err := c.once(method, path, body)
		busy := err != nil || status == http.StatusTooManyRequests || status >= 500
		if !busy || attempt == 3 {
			return status, answer, err
		}
		time.Sleep(pause)
		pause *= 2
	}
}

func (c *Cluster) once(method, path string, body Object) (int, Object, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequest(method, c.server+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil, err
	}
	found := Object{}
	_ = json.Unmarshal(text, &found) // an answer that is not JSON still has its status
	return answer.StatusCode, found, nil
}

// Namespace creates a namespace with a unique name, waits until it is Active, and returns a function that deletes it.
func (c *Cluster) Namespace(t Failer, prefix string) (string, func()) {
	t.Helper()
	name := prefix + "-" + Unique()
	body := Object{"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": name}}
	if status, answer, err := c.Ask(http.MethodPost, "/api/v1/namespaces", body); err != nil || status != 201 {
		t.Fatalf("namespace %s: %d %v %v", name, status, answer["message"], err)
	}
	Eventually(t, "namespace "+name+" Active", 10*time.Second, func() error {
		_, found, err := c.Ask(http.MethodGet, "/api/v1/namespaces/"+name, nil)
		if err != nil {
			return err
		}
		status, _ := found["status"].(Object)
		return Expect("phase", "Active", fmt.Sprint(status["phase"]))
	})
	return name, func() { _, _, _ = c.once(http.MethodDelete, "/api/v1/namespaces/"+name, nil) }
}

// Unique returns 40 random bits as hexadecimal digits.
func Unique() string {
	bits := make([]byte, 5)
	if _, err := rand.Read(bits); err != nil {
		panic(err)
	}
	return hex.EncodeToString(bits)
}

func field(t Failer, text []byte, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^[\s-]*` + name + `:\s*(\S+)\s*$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("KUBECONFIG has no %s", name)
		return ""
	}
	return string(found[1])
}

func inline(t Failer, text []byte, name string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(field(t, text, name))
	if err != nil {
		t.Fatalf("KUBECONFIG's %s: %v", name, err)
	}
	return data
}
