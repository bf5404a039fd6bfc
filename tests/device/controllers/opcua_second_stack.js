// A client that nobody here wrote: npm node-opcua-client. Arguments: the server's address, how many parts.
// Starts jobs by the companion specification, one after the other, and waits for each one's ResultReady event.
const { OPCUAClient, AttributeIds, DataType, Variant, VariantArrayType, constructEventFilter,
  TimestampsToReturn, ClientSubscription, ClientMonitoredItem, coerceNodeId } = require("node-opcua-client");

const RESULT_READY = 1024;
const [, , address, count] = process.argv;
const AUTOMATIC = "ns=1;s=VisionSystem.VisionStateMachine.AutomaticModeStateMachine";

async function main() {
  const client = OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 1 } });
  await client.connect(address);
  const session = await client.createSession();
  const namespaces = (await session.read({ nodeId: "i=2255", attributeId: AttributeIds.Value })).value.value;
  const index = namespaces.indexOf("http://opcfoundation.org/UA/MachineVision");
  const make = async (number, fields) => session.constructExtensionObject(coerceNodeId(`ns=${index};i=${number}`), fields);

  const results = new Map();
  let wake = () => {};
  const subscription = ClientSubscription.create(session, { requestedPublishingInterval: 20, publishingEnabled: true,
    requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 100, maxNotificationsPerPublish: 0, priority: 0 });
  const fields = ["EventType", ...["JobId", "PartId", "ResultState", "ResultContent"].map((name) => `${index}:${name}`)];
  const item = ClientMonitoredItem.create(subscription,
    { nodeId: coerceNodeId("ns=1;s=VisionSystem"), attributeId: AttributeIds.EventNotifier },
    { samplingInterval: 0, discardOldest: true, queueSize: 1000, filter: constructEventFilter(fields) },
    TimestampsToReturn.Both);
  await new Promise((resolve, reject) => { item.once("initialized", resolve); item.once("err", reject); });
  item.on("changed", (values) => {
    if (values[0].value.value !== RESULT_READY) return;
    const [, job, part, state, content] = values.map((one) => one.value);
    results.set(job.id, { part: part.id, state, verdict: content[0].value });
    wake();
  });

  const empty = new Variant({ dataType: DataType.Null });
  const parameters = new Variant({ dataType: DataType.Variant, arrayType: VariantArrayType.Array, value: [] });
  const done = [];
  for (let number = 0; number < Number(count); number += 1) {
    const part = new Variant({ dataType: DataType.ExtensionObject, value: await make(3004, { id: `N${number}` }) });
    const answer = await session.call({ objectId: AUTOMATIC, methodId: `${AUTOMATIC}.StartSingleJob`,
      inputArguments: [empty, part, empty, empty, parameters] });
    if (answer.statusCode.value !== 0 || answer.outputArguments[1].value !== 0) throw new Error(answer.toString());
    const job = answer.outputArguments[0].value.id;
    while (!results.has(job)) await new Promise((resolve) => { wake = resolve; });
    done.push(results.get(job));
  }
  console.log(JSON.stringify({ parts: done.map((one) => one.part), verdicts: [...new Set(done.map((one) => one.verdict))] }));
  await subscription.terminate();
  await session.close();
  await client.disconnect();
}

main().catch((error) => { console.error(error); process.exit(1); });
