import java.io.FileInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Logs a user in by Java's own client, first with `Expect: 100-continue`, then without. Arguments: URL, certificate. */
class Continue {
    public static void main(String[] args) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var file = new FileInputStream(args[1])) {
            store.setCertificateEntry("server", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(store);
        var tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        for (var version : new HttpClient.Version[] {HttpClient.Version.HTTP_2, HttpClient.Version.HTTP_1_1}) {
            var client = HttpClient.newBuilder().sslContext(tls).version(version).build();
            for (var expects : new boolean[] {true, false}) {
                var request = HttpRequest.newBuilder(URI.create(args[0])).header("content-type", "application/json")
                        .expectContinue(expects).POST(HttpRequest.BodyPublishers.ofString("{\"phone\":\"+919876543210\"}"));
                try {
                    var answer = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
                    System.out.println(answer.version() + " " + answer.statusCode());
                } catch (IOException error) {
                    System.out.println("no answer");
                }
            }
        }
        System.exit(0);
    }
}
