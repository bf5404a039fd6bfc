// Asks an edge-ad station (docs/link.md) about parts, one part id a line of the standard input. How to build: link.md.
using System;
using System.Diagnostics;
using System.IO;
using System.Net.Sockets;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Xml;
using System.Xml.Linq;

static class EdgeAdLink {
    static readonly Socket socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    static StreamReader reader;

    static void Send(string line) { socket.Send(Encoding.UTF8.GetBytes(line + "\n")); }

    static XElement Next(int timeoutMs) { // raises IOException when nothing comes in time
        socket.ReceiveTimeout = Math.Max(1, timeoutMs);
        var line = Encoding.UTF8.GetBytes(reader.ReadLine() ?? throw new IOException("the station hung up"));
        return XElement.Load(JsonReaderWriterFactory.CreateJsonReader(line, XmlDictionaryReaderQuotas.Max));
    }

    // True: the part may pass. All else, exceptions too: reject it. part: without quotes and backslashes.
    static bool Passes(string id, string part, int timeoutMs) {
        var clock = Stopwatch.StartNew();
        string trigger = null;
        Send("{\"type\":\"trigger\",\"id\":\"" + id + "\",\"part_id\":\"" + part + "\"}");
        while (clock.ElapsedMilliseconds < timeoutMs) {
            var said = Next(timeoutMs - (int)clock.ElapsedMilliseconds);
            string type = (string)said.Element("type"), number = (string)said.Element("trigger");
            bool mine = (string)said.Element("id") == id, inTime = clock.ElapsedMilliseconds < timeoutMs;
            if (type == "fault" || type == "error" || (mine && type == "refused")) return false;
            if (mine && type == "accepted") trigger = number;
            if (mine && type == "result" && number == trigger)
                return inTime && (string)said.Element("state") == "ACCEPT";
        }
        return false;
    }

    static void Main(string[] arguments) {
#if MONO
        socket.Connect(new Mono.Unix.UnixEndPoint(arguments[0]));
#else
        socket.Connect(new UnixDomainSocketEndPoint(arguments[0]));
#endif
        reader = new StreamReader(new NetworkStream(socket), new UTF8Encoding(false));
        Send("{\"type\":\"hello\",\"version\":1,\"client\":\"csharp\"}");
        if ((string)Next(5000).Element("type") != "hello") throw new IOException("no station of this version");
        string part;
        for (int number = 1; (part = Console.ReadLine()) != null; number++) {
            bool passes = false;
            try { passes = Passes(number.ToString(), part, int.Parse(arguments[1])); }
            catch (Exception error) { Console.Error.WriteLine(error.Message); }
            Console.WriteLine((passes ? "PASS " : "REJECT ") + part);
        }
    }
}
